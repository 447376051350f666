//! The database's values into the source: which edits of which files, and what stands in the way.
//!
//! Pure: whoever calls writes the files, guarded by what they held when they were read.

use serde_json::{Map, Value as Json};

use crate::desired::{self, DesiredConfig};
use crate::model::{
    ConfigPath, Configuration, FieldId, Finding, Kind, Object, Section, Selection, SourceSnapshot,
    StoreSnapshot, Value, canonical_json,
};
use crate::plan::{Class, Plan, Step};
use crate::write_back::{Edit, write_back};

/// The key under which a source says where an API key is found.
const KEY_REFERENCE: &str = "apiKeyFrom";

/// What becomes of API keys. In plain text they are never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromotedKeys {
    /// They stay where they are, and it is said.
    Blocked,
    /// `apiKeyFrom: {token: …}`, which opens only with the encryption key.
    Tokens,
}

/// What is promoted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What the paths must lie in.
    pub paths: &'a [Selection],
    /// What becomes of API keys.
    pub keys: PromotedKeys,
}

/// Edits of a source that make it say what the database holds.
#[derive(Clone, Debug, Default)]
pub struct Promotion {
    /// The documents that change.
    pub documents: Vec<Rewritten>,
    /// What is promoted.
    pub promoted: Vec<ConfigPath>,
    /// What is not, and why.
    pub blocked: Vec<Finding>,
}

/// One document before and after.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// Its position in the source.
    pub document: usize,
    /// The file as the user would name it.
    pub name: String,
    /// What it held when it was read.
    pub before: Vec<u8>,
    /// What it is to hold.
    pub after: Vec<u8>,
}

/// The three sides between which values are promoted.
#[derive(Clone, Copy, Debug)]
pub struct Sides<'a> {
    /// The source's bytes.
    pub source: &'a SourceSnapshot,
    /// What they read as.
    pub desired: &'a DesiredConfig,
    /// The database.
    pub store: &'a StoreSnapshot,
    /// What a pass over the two would do.
    pub plan: &'a Plan,
}

/// Finds the edits that promote what is wanted. `read` reads a source as the one before was read.
///
/// # Guarantees
/// The edited source is valid, and says what the database holds for each promoted path, and what it said before for
/// everything else. Comments and layout stay (see [`write_back`]). No API key appears in plain text.
pub fn promote(
    sides: &Sides<'_>,
    wanted: Wanted<'_>,
    read: impl Fn(&SourceSnapshot) -> Result<DesiredConfig, Vec<Finding>>,
) -> Promotion {
    let mut promotion = Promotion::default();
    let mut edits: Vec<Placed> = Vec::new();
    for path in differing(sides.plan, wanted.paths) {
        match placed(sides, &path, wanted.keys) {
            Ok(placed) => edits.push(placed),
            Err(finding) => promotion.blocked.push(*finding),
        }
    }
    let mut after = edited(sides.source, &mut edits, &mut promotion.blocked);
    if edits.is_empty() {
        return promotion;
    }
    let mut found = read(&after);
    if found.is_err() && edits.len() <= MAX_TRIED {
        // One row that the source must not say is no reason to keep the others out of it.
        leave_out_invalid(sides.source, &mut edits, &mut promotion.blocked, &read);
        after = edited(sides.source, &mut edits, &mut promotion.blocked);
        found = read(&after);
    }
    if edits.is_empty() {
        return promotion;
    }
    match found {
        Err(findings) => {
            let why = Finding::error("the source would no longer be valid; nothing was promoted");
            promotion.blocked.extend([why].into_iter().chain(findings));
        }
        Ok(found) => {
            if let Some(path) = unlike(&expected(sides, &edits), found.configuration()) {
                let finding = Finding::error("would not read back as it was meant; nothing was promoted");
                promotion.blocked.push(finding.at_path(path));
            } else {
                promotion.promoted = edits.into_iter().map(|placed| placed.path).collect();
                promotion.documents = rewritten(sides.source, after);
            }
        }
    }
    promotion
}

/// More edits than this are not tried one by one: each takes a reading of the source.
const MAX_TRIED: usize = 200;

/// The source with the edits made in it; those that cannot be made are taken out.
fn edited(source: &SourceSnapshot, edits: &mut Vec<Placed>, blocked: &mut Vec<Finding>) -> SourceSnapshot {
    let texts = match splice_all(source, edits) {
        Some(texts) => texts,
        None => splice_one_by_one(source, edits, blocked),
    };
    with_texts(source, texts)
}

fn with_texts(source: &SourceSnapshot, texts: Texts) -> SourceSnapshot {
    let mut after = source.clone();
    for (document, text) in texts {
        after.documents[document].bytes = text.into_bytes();
    }
    after
}

/// Takes out the edits with which the source would no longer be valid.
fn leave_out_invalid(
    source: &SourceSnapshot,
    edits: &mut Vec<Placed>,
    blocked: &mut Vec<Finding>,
    read: &impl Fn(&SourceSnapshot) -> Result<DesiredConfig, Vec<Finding>>,
) {
    let (mut sound, mut rest): (Vec<Placed>, _) = (Vec::new(), std::mem::take(edits));
    // Two may be valid only together, as a rule and the service that it names: those left are tried again.
    loop {
        let (mut left, tried) = (Vec::new(), rest.len());
        for edit in rest {
            sound.push(edit);
            let texts = splice_all(source, &sound);
            match texts.map(|texts| read(&with_texts(source, texts))) {
                Some(Ok(_)) => {}
                failed => {
                    let why = failed.and_then(Result::err).and_then(|findings| findings.into_iter().next());
                    left.extend(sound.pop().map(|edit| (edit, why)));
                }
            }
        }
        if left.is_empty() || left.len() == tried {
            blocked.extend(left.iter().map(|(edit, why)| left_out(edit, why.as_ref())));
            break;
        }
        rest = left.into_iter().map(|(edit, _)| edit).collect();
    }
    *edits = sound;
}

fn left_out(edit: &Placed, why: Option<&Finding>) -> Finding {
    let why = why.map_or_else(String::new, |finding| format!(": {}", finding.message));
    let finding = Finding::error(format!("the source would no longer be valid{why}"));
    finding.at_path(&edit.path).suggest("it stays in the database; correct it there, or revert it")
}

/// An edit with the document that it belongs into.
struct Placed {
    path: ConfigPath,
    document: usize,
    edits: Vec<Edit>,
    /// Whether the API key of a new object stays in the database only.
    without_key: bool,
}

/// Returns the paths at which the database says something of its own, as far as they are asked for.
fn differing(plan: &Plan, wanted: &[Selection]) -> Vec<ConfigPath> {
    let promotable =
        |class| matches!(class, Class::Drift | Class::Conflict | Class::Extra | Class::Undeclared);
    let left = plan.left_alone.iter().filter(|left| promotable(left.class)).map(|left| left.path.clone());
    let steps = plan.steps.iter().flat_map(|step| match step {
        Step::Update { section, id, changes } => changes
            .iter()
            .filter(|change| promotable(change.class))
            .map(|change| ConfigPath::field(*section, id, change.field))
            .collect(),
        Step::Create { section, id, class, .. } if promotable(*class) => {
            vec![ConfigPath::object(*section, id)]
        }
        Step::Create { .. } | Step::Delete { .. } => Vec::new(),
    });
    let mut paths: Vec<ConfigPath> =
        left.chain(steps).filter(|path| wanted.iter().any(|wanted| wanted.covers(path))).collect();
    paths.sort();
    paths.dedup();
    paths
}

fn placed(sides: &Sides<'_>, path: &ConfigPath, keys: PromotedKeys) -> Result<Placed, Box<Finding>> {
    let (section, id) = (path.section, &*path.id);
    let blocked = |why: &str, hint: &str| Err(Box::new(Finding::error(why).at_path(path).suggest(hint)));
    let live = sides.store.live.get(section, id);
    let declared = sides.desired.configuration().get(section, id);
    let document = match declared {
        Some(_) => desired::owner(sides.source, section, Some(id)),
        None => home_of_new(sides.source, section),
    };
    let Some(document) = document else {
        return blocked("no file of the source declares it", "promote it by hand");
    };
    let at = |names: &[&str]| -> Vec<Box<str>> {
        let id = (section != Section::Execution).then_some(id);
        [section.name()].into_iter().chain(id).chain(names.iter().copied()).map(Box::from).collect()
    };
    let one = |edits| Ok(Placed { path: path.clone(), document, edits, without_key: false });
    let Some(field) = path.field else {
        return match (live, declared) {
            (None, _) => one(vec![Edit { path: at(&[]), value: None }]),
            (Some(row), _) => {
                let (value, without_key) = object_json(section, row, keys);
                let edits = vec![Edit { path: at(&[]), value: Some(value) }];
                Ok(Placed { path: path.clone(), document, edits, without_key })
            }
        };
    };
    let spec = section.spec(field);
    let value = live.and_then(|row| row.get(field)).unwrap_or(&Value::Unset);
    match value {
        Value::Unreadable(why) => blocked(why, "`oxide-operator doctor` says what mends it"),
        Value::Secret(secret) => match (keys, secret.token.as_deref()) {
            (PromotedKeys::Tokens, Some(token)) => one(vec![
                Edit { path: at(&[spec.name]), value: None },
                Edit { path: at(&[KEY_REFERENCE]), value: Some(serde_json::json!({"token": token})) },
            ]),
            _ => blocked(
                "PromotionBlocked: an API key is never written into the source in plain text",
                "change the key where the source refers to; or write it encrypted, with --keys-as-tokens",
            ),
        },
        Value::Unset if spec.kind == Kind::Secret => one(vec![
            Edit { path: at(&[KEY_REFERENCE]), value: None },
            Edit { path: at(&[spec.name]), value: Some(Json::Null) },
        ]),
        value => one(vec![Edit { path: at(&[spec.name]), value: Some(field_json(value, spec.kind)) }]),
    }
}

/// A new object goes where its section stands; among several such files, into the last.
fn home_of_new(source: &SourceSnapshot, section: Section) -> Option<usize> {
    let texts = source.documents.iter().enumerate().rev();
    let mut homes = texts.filter(|(_, document)| {
        let one = SourceSnapshot { origin: String::new(), documents: vec![(*document).clone()] };
        desired::owner(&one, section, None).is_some()
    });
    homes.next().map(|(at, _)| at).or(source.documents.len().checked_sub(1))
}

fn field_json(value: &Value, kind: Kind) -> Json {
    match value {
        Value::Unset if kind.is_list() => Json::Array(Vec::new()),
        value => value.shown().0,
    }
}

/// An object as a source declares it: what differs from the orchestrator's defaults.
fn object_json(section: Section, row: &Object, keys: PromotedKeys) -> (Json, bool) {
    let mut fields = Map::new();
    let mut without_key = false;
    for (field, value) in row.iter().filter(|(field, value)| !value.is_default(section.spec(*field))) {
        match value {
            Value::Secret(secret) => match (keys, &secret.token) {
                (PromotedKeys::Tokens, Some(token)) => {
                    fields.insert(KEY_REFERENCE.into(), serde_json::json!({"token": token}));
                }
                _ => without_key = true,
            },
            Value::Unreadable(_) => without_key = true,
            value => {
                let spec = section.spec(field);
                fields.insert(spec.name.into(), field_json(value, spec.kind));
            }
        }
    }
    (Json::Object(fields), without_key)
}

type Texts = Vec<(usize, String)>;

fn splice_all(source: &SourceSnapshot, placed: &[Placed]) -> Option<Texts> {
    let mut documents: Vec<usize> = placed.iter().map(|placed| placed.document).collect();
    documents.sort_unstable();
    documents.dedup();
    let splice = |document: usize| {
        let text = std::str::from_utf8(&source.documents[document].bytes).ok()?;
        let edits: Vec<Edit> =
            placed.iter().filter(|it| it.document == document).flat_map(|it| it.edits.clone()).collect();
        Some((document, write_back(text, &edits).ok()?))
    };
    documents.into_iter().map(splice).collect()
}

/// Where not all of them can be made, each is tried by itself.
fn splice_one_by_one(source: &SourceSnapshot, placed: &mut Vec<Placed>, blocked: &mut Vec<Finding>) -> Texts {
    let mut texts: Texts = Vec::new();
    placed.retain(|it| {
        let known = texts.iter().position(|(document, _)| *document == it.document);
        let original = || String::from_utf8_lossy(&source.documents[it.document].bytes).into_owned();
        let text = known.map_or_else(original, |at| texts[at].1.clone());
        match write_back(&text, &it.edits) {
            Ok(text) => {
                match known {
                    Some(at) => texts[at].1 = text,
                    None => texts.push((it.document, text)),
                }
                true
            }
            Err(refused) => {
                let name = &source.documents[it.document].name;
                let finding = Finding::error(format!("{name}: {refused}")).at_path(&it.path);
                blocked.push(finding.suggest("edit the file by hand"));
                false
            }
        }
    });
    texts
}

/// What the edited source must read as.
fn expected(sides: &Sides<'_>, placed: &[Placed]) -> Configuration {
    let mut expected = sides.desired.configuration().clone();
    for it in placed {
        let ConfigPath { section, id, field } = &it.path;
        let objects = expected.section_mut(*section).get_or_insert_default();
        match (sides.store.live.get(*section, id), field) {
            (None, _) => {
                objects.shift_remove(id);
            }
            (Some(row), None) => {
                let kept = |field: FieldId, value: &Value| {
                    let secret = section.spec(field).kind == Kind::Secret;
                    !(value.is_default(section.spec(field)) || (secret && it.without_key))
                };
                let mut object = Object::default();
                for (field, value) in row.iter().filter(|(field, value)| kept(*field, value)) {
                    object.set(field, value.clone());
                }
                objects.insert(id.clone(), object.into());
            }
            (Some(row), Some(field)) => {
                let mut object = objects.get(id).map(|object| Object::clone(object)).unwrap_or_default();
                object.set(*field, row.get(*field).cloned().unwrap_or(Value::Unset));
                objects.insert(id.clone(), object.into());
            }
        }
    }
    expected
}

/// Returns the first object in which two configurations differ.
fn unlike(one: &Configuration, two: &Configuration) -> Option<String> {
    Section::ALL.into_iter().find_map(|section| {
        let (one, two) = (one.section(section), two.section(section));
        let ids = one.into_iter().chain(two).flat_map(|objects| objects.keys());
        let text = |side: Option<&crate::model::Objects>, id: &str| {
            side.and_then(|objects| objects.get(id)).map(|object| canonical_json(section, object))
        };
        let mut ids = ids.filter(|id| text(one, id) != text(two, id));
        ids.next().map(|id| ConfigPath::object(section, id).to_string())
    })
}

fn rewritten(before: &SourceSnapshot, after: SourceSnapshot) -> Vec<Rewritten> {
    let pairs = before.documents.iter().zip(after.documents).enumerate();
    pairs
        .filter(|(_, (before, after))| before.bytes != after.bytes)
        .map(|(document, (before, after))| Rewritten {
            document,
            name: before.name.clone(),
            before: before.bytes.clone(),
            after: after.bytes,
        })
        .collect()
}
