//! Entity tags: what a client saw, so that nobody overwrites what they did not see.
//!
//! A tag is a hash of canonical values, in which API keys are keyed fingerprints: it tells equal from different only.

use sha2::{Digest as _, Sha256};

use crate::desired::DesiredConfig;
use crate::model::{
    ConfigPath, Object, Section, SourceDigest, StoreFingerprint, StoreSnapshot, canonical_json, mark,
};

/// How many bytes of the hash make a tag.
const BYTES: usize = 12;

/// What a request says about what it expects to find.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expected {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// `If-None-Match: *`: there is none yet.
    Nothing,
    /// `If-Match: *`: whatever is there.
    Anything,
    /// `If-Match: "…"`: one of these.
    Tags(Vec<String>),
}

impl Expected {
    /// Whether what is there, by its tag, is what was expected.
    pub(crate) fn admits(&self, present: Option<&str>) -> bool {
        match (self, present) {
            (Self::Unsaid, _) | (Self::Nothing, None) | (Self::Anything, Some(_)) => true,
            (Self::Tags(tags), Some(present)) => tags.iter().any(|tag| tag == present),
            (Self::Nothing, Some(_)) | (Self::Anything | Self::Tags(_), None) => false,
        }
    }
}

/// The tag of an object of the database.
pub(crate) fn of_object(section: Section, object: &Object) -> String {
    of_texts([canonical_json(section, object)])
}

/// The tag of everything in the database.
pub(crate) fn of_rows(rows: StoreFingerprint) -> String {
    of_texts([rows.to_string()])
}

/// The tag of both sides as a pass would compare them.
pub(crate) fn of_sides(source: Option<&SourceDigest>, rows: StoreFingerprint) -> String {
    of_texts([source.map(|digest| digest.0.clone()).unwrap_or_default(), rows.to_string()])
}

/// The tag of differences: of all three sides of each path, whatever the reason why it stays.
pub(crate) fn of_differences<'a>(
    paths: impl Iterator<Item = &'a ConfigPath>,
    desired: &DesiredConfig,
    store: &StoreSnapshot,
) -> String {
    of_texts(paths.flat_map(|path| {
        let of = |object: Option<&std::sync::Arc<Object>>| mark(path, object.map(|object| &**object));
        let agreed = store.base.get(path.section, &path.id).map(|base| base.fields(path.section));
        [
            path.to_string(),
            of(desired.configuration().get(path.section, &path.id)),
            of(store.live.get(path.section, &path.id)),
            mark(path, agreed.as_ref()),
        ]
    }))
}

/// The tag of texts: equal for equal texts in the same order.
pub(crate) fn of_texts(texts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> String {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.as_ref().len() as u64).to_le_bytes());
        hasher.update(text.as_ref());
    }
    hasher.finalize().iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_is_met_by_what_it_names_and_nothing_else() {
        let one = Expected::Tags(vec!["a".into(), "b".into()]);
        assert!(one.admits(Some("b")) && !one.admits(Some("c")) && !one.admits(None));
        assert!(Expected::Nothing.admits(None) && !Expected::Nothing.admits(Some("a")));
        assert!(Expected::Anything.admits(Some("a")) && !Expected::Anything.admits(None));
    }

    #[test]
    fn a_tag_depends_on_where_one_text_ends_and_the_next_begins() {
        assert_ne!(of_texts(["ab", "c"]), of_texts(["a", "bc"]));
        assert_eq!(of_texts(["ab"]).len(), BYTES * 2);
    }
}
