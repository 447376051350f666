//! What a word is by its looks: the name of a secret, a secret, or neither.

use crate::model::{Kind, Section};

/// What a word in an unknown key's name holds when its value is a secret.
const SECRET_WORDS: [&str; 6] = ["secret", "password", "passwd", "passphrase", "credential", "apikey"];

/// What the last word of such a name is: `token_limit` and `pass_through` are something else.
const LAST_SECRET_WORDS: [&str; 8] =
    ["auth", "authorization", "bearer", "cookie", "dsn", "pass", "pwd", "token"];

/// Words that end like `key` and are none.
const NO_KEYS: [&str; 8] = ["monkey", "donkey", "turkey", "hockey", "jockey", "whiskey", "mickey", "lackey"];

/// What well-known secrets begin with.
const SECRET_BEGINNINGS: [&str; 14] = [
    "sk-",
    "sk_",
    "pk-",
    "rk_",
    "gsk_",
    "hf_",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xox",
    "AIza",
    "AKIA",
    "gAAAAA",
];

/// Where a source says from where a secret is taken: what stands there is a name, not a secret.
pub(super) const REFERENCES: [&str; 2] = ["apiKeyFrom", "secretKeyRef"];

/// Splits a word at the colon or equals sign behind a key; a colon within an address is none.
pub(super) fn split_key(word: &str) -> (&str, Option<&str>) {
    match word.split_once([':', '=']) {
        Some((name, value)) if !value.starts_with("//") => (name, Some(value)),
        _ => (word, None),
    }
}

fn bare(name: &str) -> String {
    name.trim_matches(['"', '\'', ':', ' ', '{', '-', '#', '?', '$']).to_lowercase()
}

pub(super) fn names_a_secret(name: &str) -> bool {
    let is_known = |section: Section| {
        section.field(name.trim()).is_some_and(|field| section.spec(field).kind != Kind::Secret)
    };
    if REFERENCES.contains(&name.trim()) || Section::ALL.into_iter().any(is_known) {
        return false;
    }
    let mut words = String::new();
    for char in name.trim_matches(['"', '\'', ':', ' ', '{', '#', '?']).chars() {
        // `apiKey` is `api key`.
        let begins_word = char.is_uppercase() && words.ends_with(|last: char| last.is_lowercase());
        words.extend(begins_word.then_some(' ').into_iter().chain([char]));
    }
    let words = words.to_lowercase();
    let mut words =
        words.split(|char: char| !char.is_alphanumeric()).filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let one = word.strip_suffix('s').unwrap_or(word);
        let is_last = words.peek().is_none();
        if (one.ends_with("key") && !NO_KEYS.contains(&one))
            || SECRET_WORDS.iter().any(|secret| word.contains(secret))
            || (is_last && (LAST_SECRET_WORDS.contains(&word) || word.ends_with("token")))
        {
            return true;
        }
    }
    is_close_to_api_key(name)
}

/// Whether a value is none that a secret of this name could have: a flag, nothing, a number of tokens.
pub(super) fn is_plain_value(name: &str, value: &str) -> bool {
    const WORDS: [&str; 10] = ["", "true", "false", "yes", "no", "on", "off", "null", "none", "~"];
    let counts = bare(name).ends_with("token") && value.bytes().all(|byte| byte.is_ascii_digit());
    counts || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// Whether a text can be the name of an environment variable, and is none of the secrets that could be one.
pub(super) fn is_variable_name(text: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| text.bytes().any(|byte| kind(&byte));
    let mixes = has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) && !text.contains('_');
    !text.starts_with(|first: char| first.is_ascii_digit())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !mixes
        && !begins_like_a_secret(text)
        && !looks_like_a_secret(text)
}

pub(super) fn is_close_to_api_key(name: &str) -> bool {
    let name = bare(name);
    // Shorter than any misspelling of it; longer ones take long to compare.
    (5..=10).contains(&name.len())
        && strsim::osa_distance(&name, "api_key") <= 2
        && Section::Services
            .field(&name)
            .is_none_or(|field| Section::Services.spec(field).kind == Kind::Secret)
}

/// What may stand around a word in a comment.
const AROUND_WORDS: [char; 12] = [':', ';', '(', ')', '<', '>', '.', '#', '`', '!', '*', '&'];

/// Whether a word, or what stands behind a colon in it, begins as well-known secrets do.
pub(super) fn begins_like_a_secret(word: &str) -> bool {
    let begins = |part: &str| {
        let part = part.trim_matches(AROUND_WORDS);
        let long = |beginning: &str| part.starts_with(beginning) && part.len() >= beginning.len() + 5;
        SECRET_BEGINNINGS.iter().any(|beginning| long(beginning))
    };
    word.split([':', '=', '/']).any(begins)
}

/// Whether letters and digits are mixed in a word at length.
pub(super) fn looks_like_a_secret(word: &str) -> bool {
    let word = word.trim_matches(AROUND_WORDS);
    if SECRET_BEGINNINGS
        .iter()
        .any(|beginning| word.starts_with(beginning) && word.len() >= beginning.len() + 5)
    {
        return true;
    }
    let is_mixed = |part: &str| {
        part.bytes().any(|byte| byte.is_ascii_digit()) && part.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    let of =
        |part: &str, also: &str| part.chars().all(|char| char.is_ascii_alphanumeric() || also.contains(char));
    let hexadecimal = word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let base64 = word.len() >= 24
        && of(word, "+/=")
        && !word.starts_with('/')
        && is_mixed(word)
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
        && word.bytes().any(|byte| byte.is_ascii_lowercase());
    let long_part = || {
        let mut parts = word.split(['-', '_']);
        of(word, "-_=") && parts.any(|part| part.len() >= 12 && is_mixed(part))
    };
    (hexadecimal && is_mixed(word)) || base64 || (word.len() >= 16 && long_part())
}
