//! What a tag makes of a value.
//!
//! Source: `PyYAML` 6 `constructor.py`, `SafeConstructor`: any tag that it does not know makes it refuse the file.

use std::borrow::Cow;
use std::ops::Range;

use super::Content;
use super::error::{Result, SyntaxError};
use super::mask;
use super::token::Tag;
use crate::desired::scalar::{Implicit, cannot_be_made};

/// What the names of YAML's own tags begin with.
pub(super) const YAML: &str = "tag:yaml.org,2002:";

/// Returns a tag's full name, which begins with `!` or is one of YAML's own.
pub(super) fn full_name(tag: Tag<'_>, span: Range<usize>) -> Result<Cow<'_, str>> {
    match tag.handle {
        None => Ok(tag.suffix),
        Some("!") => Ok(format!("!{}", tag.suffix).into()),
        Some("!!") => Ok(format!("{}{}", YAML, tag.suffix).into()),
        Some(handle) => Err(unknown(&format!("{handle}{}", tag.suffix), span)),
    }
}

/// Returns a scalar as its tag types it.
pub(super) fn scalar<'s>(
    tag: Option<&str>,
    text: Cow<'s, str>,
    plain: bool,
    span: &Range<usize>,
) -> Result<Content<'s>> {
    let Some(tag) = tag else { return by_its_text(text, plain, span) };
    let implicit = Implicit::of(&text);
    match (tag.strip_prefix(YAML), implicit) {
        _ if tag == "!" => by_its_text(text, true, span),
        (Some("str"), _) => Ok(Content::Scalar { text, plain: false }),
        (Some("null"), _) => Ok(Content::Scalar { text: Cow::Borrowed(""), plain: true }),
        (Some("int"), Implicit::Integer)
        | (Some("float"), Implicit::Float)
        | (Some("timestamp"), Implicit::Timestamp) => by_its_text(text, true, span),
        (Some("float"), Implicit::Integer) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Content::Scalar { text: format!("{text}.0").into(), plain: true })
        }
        (Some("bool"), _) if matches!(Implicit::of(&text.to_lowercase()), Implicit::Flag(_)) => {
            Ok(Content::Scalar { text: text.to_lowercase().into(), plain: true })
        }
        (Some(name @ ("int" | "float" | "bool" | "timestamp")), _) => {
            let message = format!("`!!{name}` stands before a text that is none");
            Err(SyntaxError::new(message, span.clone()).help("remove the tag, or correct the value"))
        }
        _ => Err(unknown(tag, span.clone())),
    }
}

fn by_its_text<'s>(text: Cow<'s, str>, plain: bool, span: &Range<usize>) -> Result<Content<'s>> {
    match cannot_be_made(&text).filter(|_| plain) {
        Some(why) => Err(SyntaxError::new(why, span.clone()).help(format!("quote it: \"{text}\""))),
        None => Ok(Content::Scalar { text, plain }),
    }
}

/// Makes sure that a collection has no tag but its own.
pub(super) fn collection(tag: Option<&str>, own: &str, span: &Range<usize>) -> Result<()> {
    match tag {
        None | Some("!") => Ok(()),
        Some(tag) if tag.strip_prefix(YAML) == Some(own) => Ok(()),
        Some(tag) => Err(unknown(tag, span.clone())),
    }
}

/// The error for a tag that the orchestrator's reader does not know, or that no value here can have.
pub(super) fn unknown(tag: &str, span: Range<usize>) -> SyntaxError {
    let shown = tag.strip_prefix(YAML).map_or_else(|| tag.to_owned(), |name| format!("!!{name}"));
    let message = format!(
        "the tag `{}` is not supported: the orchestrator refuses the whole file because of it",
        mask::word(&shown)
    );
    let names_a_secret = ["secret", "env", "vault", "var", "ref", "ssm", "key", "sops", "password"]
        .iter()
        .any(|word| tag.to_lowercase().contains(word));
    SyntaxError::new(message, span).help(if names_a_secret {
        "remove the tag; an API key from elsewhere is `api_key: ${NAME}`, or `apiKeyFrom:` with `env`, `file` or `secretKeyRef`"
    } else {
        "remove the tag and write the value itself; a text that begins with `!` stands in quotes"
    })
}
