//! Lines of a source as they are shown: with every secret replaced by dots.
//!
//! A finding is made before it is known what a line is, and often because it is not what it should be: so this goes by
//! what the bytes look like.

use std::ops::Range;

use crate::model::Section;

/// What a word in an unknown key's name holds when its value is a secret.
const SECRET_WORDS: [&str; 6] = ["token", "secret", "password", "passwd", "passphrase", "credential"];

/// What a word in an unknown key's name is when its value is a secret.
const WHOLE_SECRET_WORDS: [&str; 4] = ["auth", "bearer", "pass", "pwd"];

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
const REFERENCES: [&str; 2] = ["apiKeyFrom", "secretKeyRef"];

const SEPARATORS: [char; 9] = [' ', '\t', ',', '{', '}', '[', ']', '"', '\''];

/// Returns a line with everything that may be a secret replaced by dots, one for each character.
///
/// A value is masked when its key's name says so or is close to `api_key`, when the line continues such a value, and
/// when it looks like a secret, whatever its key. Fields that are known to hold something else, `${NAME}` and what
/// stands under `apiKeyFrom` are shown.
pub(super) fn masked(text: &str, line: Range<usize>) -> String {
    let shown = &text[line.clone()];
    let parents = parents(text, line.start, shown);
    let names_places = parents.iter().any(|parent| REFERENCES.contains(&parent.name));
    if continues_a_secret(&parents, shown) || is_left_open(&text[..line.start], shown) {
        return dots(shown);
    }
    let mut masked = String::with_capacity(shown.len());
    let mut rest = shown;
    let mut key_before = false;
    let is_object = parents.first().is_some_and(Parent::holds_objects) && opens_an_object(shown);
    while !rest.is_empty() {
        if let Some(length) = variable(rest) {
            masked.push_str(&rest[..length]);
            rest = &rest[length..];
            continue;
        }
        let end = rest.find(SEPARATORS).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        let space = behind.chars().next().map_or(0, char::len_utf8);
        let (name, value) = split_key(word);
        let in_reference = names_places || REFERENCES.iter().any(|name| masked.contains(name));
        let key = name.trim_start_matches(['#', '?']);
        let is_id = is_object && masked.trim().trim_matches(['"', '\'']).is_empty();
        let names_secret = !in_reference && !is_id && names_a_secret(name);
        let has_colon =
            value.is_some() || behind.trim_start_matches(['"', '\'', ' ', '\t']).starts_with([':', '=']);
        let inline = value.unwrap_or_default();
        let value_behind = if inline.is_empty() { behind_colon(behind) } else { inline };
        let misused = (REFERENCES.contains(&key) && has_colon && !opens_a_mapping(value_behind))
            || (in_reference && key == "token" && has_colon);
        let begins_value = misused
            || (names_secret && (has_colon || is_close_to_api_key(name)))
            || (key_before && matches!(word, ":" | "="));
        if begins_value && variable(behind.trim_start_matches(['"', '\'', ' ', '\t', ':', '='])).is_none() {
            // To the end of the line: a secret may hold commas, braces and colons.
            let shown_part = word.len() - inline.len();
            masked.push_str(&word[..shown_part]);
            masked.push_str(&dots(inline));
            masked.push_str(&masked_but_punctuation(behind));
            return masked;
        }
        if begins_like_a_secret(word) {
            masked.push_str(&dots(word));
            masked.push_str(&masked_but_punctuation(behind));
            return masked;
        }
        if looks_like_a_secret(word) && !in_reference {
            masked.push_str(&dots(word));
        } else if looks_like_a_secret(inline) {
            masked.push_str(&word[..word.len() - inline.len()]);
            masked.push_str(&dots(inline));
        } else {
            masked.push_str(word);
        }
        if !word.is_empty() {
            key_before = names_secret;
        }
        masked.push_str(&behind[..space]);
        rest = &behind[space..];
    }
    masked
}

/// Returns what stands behind a key's colon.
fn behind_colon(behind: &str) -> &str {
    behind.trim_start_matches(['"', '\'']).trim_start().trim_start_matches([':', '=']).trim_start()
}

/// Whether a value is a mapping, or nothing: what another key holds begins with its own.
fn opens_a_mapping(value: &str) -> bool {
    value.is_empty() || value.starts_with(['{', '#', '&', '*'])
}

fn dots(text: &str) -> String {
    text.chars().map(|char| if char.is_whitespace() { char } else { '•' }).collect()
}

/// Masks a value; what surrounds it stays, so that the line can still be recognised.
fn masked_but_punctuation(text: &str) -> String {
    text.chars().map(|char| if SEPARATORS.contains(&char) || char == ':' { char } else { '•' }).collect()
}

/// Returns the length of a whole `${NAME}` that a text begins with and that nothing but the end of a value follows.
fn variable(text: &str) -> Option<usize> {
    let name = text.strip_prefix("${")?;
    let end = name.find('}')?;
    let is_name = !name[..end].is_empty()
        && name[..end].bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit();
    let behind = &name[end + 1..];
    (is_name && (behind.is_empty() || behind.starts_with(SEPARATORS))).then_some(end + 3)
}

/// A key on a line above and further left than what it holds.
struct Parent<'t> {
    name: &'t str,
    value: &'t str,
    /// Whether it is an object itself: a service may be called anything.
    is_object: bool,
    /// Whether it stands further left than what it holds; else only an open value can reach beyond its line.
    is_outside: bool,
}

impl Parent<'_> {
    fn holds_objects(&self) -> bool {
        Section::named(self.name).is_some_and(|section| section != Section::Execution)
    }
}

/// Returns the keys that hold a line, the innermost first.
fn parents<'t>(text: &'t str, line_start: usize, line: &str) -> Vec<Parent<'t>> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut limit = indent(line);
    let mut parents: Vec<Parent<'t>> = Vec::new();
    for above in text[..line_start].lines().rev().take(200) {
        if above.trim().is_empty() || indent(above) >= limit && !(indent(above) == 0 && limit == 0) {
            continue;
        }
        let key = above.trim_start().trim_start_matches("- ");
        let (name, value) = key.split_once(':').unwrap_or((key, ""));
        let parent = Parent {
            name: name.trim_matches(['"', '\'', ' ', '?']),
            value: value.trim(),
            is_object: false,
            is_outside: indent(above) < limit,
        };
        if parent.holds_objects()
            && let Some(inner) = parents.last_mut()
        {
            inner.is_object = opens_a_mapping(inner.value) && !is_close_to_api_key(inner.name);
        }
        parents.push(parent);
        limit = indent(above);
        if limit == 0 {
            break;
        }
    }
    parents
}

/// Whether a line belongs to a value whose key names a secret.
fn continues_a_secret(parents: &[Parent<'_>], line: &str) -> bool {
    if let Some(parent) = parents.first().filter(|parent| REFERENCES.contains(&parent.name)) {
        return !opens_a_mapping(parent.value) || !line.contains(':');
    }
    let mut holders = parents.iter().take_while(|parent| !REFERENCES.contains(&parent.name));
    holders.any(|parent| {
        let opens = parent.is_outside
            || parent.value.is_empty()
            || parent.value.starts_with(['|', '>', '"', '\'', '&', '!', '#']);
        // The fields of an object are keys themselves, whatever it is called.
        let is_field = parent.is_object && line.contains(':');
        names_a_secret(parent.name) && opens && !is_field
    })
}

/// Whether a secret begins on a line above and has not ended, however far left the next line begins: nothing stands
/// behind its key yet, or its quote is open.
fn is_left_open(above: &str, shown: &str) -> bool {
    // A line further right belongs to its parents; one with a key of its own is no value.
    let indent = |line: &str| line.len() - line.trim_start().len();
    let may_be_value = !shown.contains(':') || shown.trim_start().starts_with(['"', '\'']);
    let mut end = above.len();
    for line in above.lines().rev().filter(|line| !line.trim().is_empty()).take(200) {
        let start = above[..end].rfind(line).unwrap_or(0);
        end = start;
        let Some((at, value)) = secret_value(line) else { continue };
        let Some(quote) = value.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
            // Only the line directly above can wait for its value.
            let is_last = above[start + line.len()..].trim().is_empty();
            let waits = is_last && value.trim_end().is_empty();
            return waits && may_be_value && indent(shown) <= indent(line);
        };
        let behind = &above[start + at + 1..];
        let quotes = behind.matches(quote).count();
        let escaped = if quote == '"' { behind.matches("\\\"").count() } else { 0 };
        // A quote that is doubled or escaped closes nothing.
        return quotes.saturating_sub(escaped).is_multiple_of(2);
    }
    false
}

/// Returns what stands behind the last key of a line that names a secret, and where.
fn secret_value(line: &str) -> Option<(usize, &str)> {
    let colons = line.match_indices(':').collect::<Vec<_>>();
    colons.into_iter().rev().find_map(|(colon, _)| {
        let before = line[..colon].trim_end_matches([' ', '\t', '"', '\'']);
        let name = before.rsplit(SEPARATORS).next().unwrap_or_default();
        let value = line[colon + 1..].trim_start();
        names_a_secret(name).then_some((line.len() - value.len(), value))
    })
}

/// Whether a line is the name of an object with nothing, or with the object itself, behind it.
fn opens_an_object(line: &str) -> bool {
    line.trim_end().split_once(':').is_some_and(|(name, value)| {
        let value = value.trim();
        !is_close_to_api_key(name.trim().trim_matches(['"', '\'']))
            && (value.is_empty() || value.starts_with('{'))
    })
}

/// Returns a whole text with everything that may be a secret replaced by dots.
pub(super) fn text(text: &str) -> String {
    let mut start = 0;
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let end = start + line.trim_end_matches(['\r', '\n']).len();
        shown.push_str(&masked(text, start..end));
        shown.push_str(&text[end..start + line.len()]);
        start += line.len();
    }
    shown
}

/// Splits a word at the colon or equals sign behind a key; a colon within an address is none.
fn split_key(word: &str) -> (&str, Option<&str>) {
    match word.split_once([':', '=']) {
        Some((name, value)) if !value.starts_with("//") => (name, Some(value)),
        _ => (word, None),
    }
}

fn bare(name: &str) -> String {
    name.trim_matches(['"', '\'', ':', ' ', '{', '-', '#', '?', '$']).to_lowercase()
}

fn names_a_secret(name: &str) -> bool {
    let is_known = |section: Section| {
        section.field(name.trim()).is_some_and(|field| section.spec(field).kind != crate::model::Kind::Secret)
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
    let is_secret = |word: &str| {
        let one = word.strip_suffix('s').unwrap_or(word);
        (one.ends_with("key") && !NO_KEYS.contains(&one))
            || WHOLE_SECRET_WORDS.contains(&word)
            // A number of tokens is none of them.
            || (SECRET_WORDS.iter().any(|secret| word.contains(secret)) && !word.ends_with("tokens"))
    };
    words.split(|char: char| !char.is_alphanumeric()).any(is_secret) || is_close_to_api_key(name)
}

fn is_close_to_api_key(name: &str) -> bool {
    let name = bare(name);
    // Shorter than any misspelling of it; longer ones take long to compare.
    (5..=10).contains(&name.len())
        && strsim::osa_distance(&name, "api_key") <= 2
        && Section::Services
            .field(&name)
            .is_none_or(|field| Section::Services.spec(field).kind == crate::model::Kind::Secret)
}

/// What may stand around a word in a comment.
const AROUND_WORDS: [char; 9] = [':', ';', '(', ')', '<', '>', '.', '#', '`'];

/// Whether a word, or what stands behind a colon in it, begins as well-known secrets do.
fn begins_like_a_secret(word: &str) -> bool {
    let begins = |part: &str| {
        let part = part.trim_matches(AROUND_WORDS);
        let long = |beginning: &str| part.starts_with(beginning) && part.len() >= beginning.len() + 5;
        SECRET_BEGINNINGS.iter().any(|beginning| long(beginning))
    };
    word.split([':', '=', '/']).any(begins)
}

/// Whether letters and digits are mixed in a word at length.
fn looks_like_a_secret(word: &str) -> bool {
    let word = word.trim_matches([':', ';', '(', ')', '<', '>', '.', '#', '`']);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn masked_line(text: &str, needle: &str) -> String {
        let at = text.find(needle).expect("the needle is there");
        let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        masked(text, start..end)
    }

    #[test]
    fn no_form_of_a_key_is_shown() {
        let canary = "canary";
        for text in [
            "    api_key: sk-canary",
            "    api_kye: sk-canary",
            "a: {api_key: sk-canary, type: http}",
            "    \"api_key\": \"sk-canary",
            "    api_key: |\n      sk-canary",
            "    api_key:\n      sk-canary",
            "    api_key: \"\n      sk-canary",
            "    password: sk-canary # comment",
            "    api_key: one: sk-canary",
            "    api_key: \"one,two}, sk-canary\"",
            "    api_key sk-canary",
            "    api_key:sk-canary",
            "    api_key :sk-canary",
            "    api_key:\tsk-canary",
            "    api_key\t: sk-canary",
            "    apikey: sk-canary",
            "    openaiApiKey: canary",
            "    api_key = canary",
            "    #api_key: canary",
            "    # was sk-canary",
            "    # was ghp_canary (old)",
            "    api_key: ${NAME}canary",
            "    api_key: canary${NAME}",
            "    ? api_key\n    : sk-canary",
            "  - secret: canary",
            "services:\n  api_key: canary",
            "services:\n  api_key:\n    canary",
            "services:\n  my-key:\n    canary",
            "services:\n  my-key:\n    password: canary",
            "{\"services\":{\"a\":{\"api_key\":\"canary\"}}}",
            "a: {api_key: [canary]}",
            "    api_key: first\n      canary",
            "    api_key: [\n      canary\n    ]",
            "  {a: {api_key:\n  canary}}",
            "{\"a\": {\"api_key\":\n\"canary\"}}",
            "    api_key: \"first\ncanary\"",
            "    api_key: 'first\n\n  second\n canary'",
            "a: {type: http, api_key: 'first\ncanary'}",
            "    api_key: \"fi\\\"rst\ncanary\"",
            "    api_key: 'fi''rst\ncanary'",
            "    openaikey: canary",
            "    access_keys: [canary]",
            "    clientsecret: canary",
            "    authToken: canary",
            "    api_key: &k canary",
            "    apiKeyFrom: canary",
            "    apiKeyFrom: 'canary'",
            "    apiKeyFrom: {token: canary}",
            "    apiKeyFrom:\n      token: canary",
            "    apiKeyFrom:\n      canary",
            "    apiKeyFrom: |\n      canary: x",
            "    apiKeyFrom: {file: sk-canary}",
            "    apiKeyFrom: {file: 'sk-or-v1-x, canary'}",
            "    api_key: !!str canary",
        ] {
            assert!(!masked_line(text, canary).contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_long_run_of_letters_and_digits_is_masked_wherever_it_stands() {
        assert_eq!(masked_line("site_name: sk0or0v1abcdefghij", "sk0"), "site_name: ••••••••••••••••••");
        let base64 = masked_line("site_name: Zm9vYmFyYmF6/XV4+Zm9vYmFyQQ==", "Zm9v");
        assert!(!base64.contains("YmFy"), "{base64}");
        let begun = masked_line("site_name: sk-abcde", "sk-");
        assert!(!begun.contains("abcde"), "{begun}");
        assert_eq!(masked_line("site_name: sk-abcd", "sk-"), "site_name: sk-abcd", "too short for a key");
        assert_eq!(masked_line("site_name: Ab1/c+d", "Ab1"), "site_name: Ab1/c+d", "too short for one");
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "    max_context_tokens: 128000",
            "    max_tokens: 128000",
            "    monkeys: 3",
            "services:\n  monkey:\n    type: http",
            "services:\n  my-key:\n    type: http",
            "services:\n  my-key:",
            "services:\n  my-key: {type: cli, executable: x}",
            "services:\n  monkey: {type: cli, executable: x}",
            "    api_key: ${OPENROUTER_API_KEY}",
            "    api_key: \"${OPENROUTER_API_KEY_2}\" # from the vault",
            "a: {api_key: ${KEY}, type: http}",
            "    apiKeyFrom: {env: OPENROUTER_API_KEY}",
            "    apiKeyFrom: {file: /run/secrets/openrouter-key-2024abcdefgh}",
            "    apiKeyFrom: {secretKeyRef: {name: oxide-keys, key: openrouter}}",
            "    apiKeyFrom:\n      secretKeyRef:\n        name: oxide\n        key: openrouter",
            "    apiKeyFrom:\n      file: /run/secrets/key",
            "    default_model: claude-3-5-sonnet-20241022",
            "    base_url: https://r.openai.azure.com/openai?api-version=2024-02-01",
            "    executable: /usr/local/bin/qwen-2.5-coder",
            "    # the key is in the vault",
            "    models: [meta-llama/llama-3.2-3b-instruct:free]",
            "    max_retries: 3 # tokens are cheap",
            "    api_key: \"${KEY}\"\n    type: http",
            "    api_key: 'closed'\nlogging: {}",
            "api_key: closed\nservices: {}",
            "services:\n  my-key: {type: cli,\n    executable: x}",
            "services:\n  a:\n    api_key: x\n  b:\n    type: cli",
        ] {
            let last = text.lines().last().expect("a line");
            assert_eq!(masked_line(text, last), last);
        }
    }

    #[test]
    fn ordinary_values_are_shown() {
        let text = "    base_url: http://localhost:11434";
        assert_eq!(masked_line(text, "http"), text);
        let model = "    default_model: \"qwen2.5-coder:7b\"";
        assert_eq!(masked_line(model, "qwen"), model);
    }
}
