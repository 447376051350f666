//! Lines of a source as they are shown: with every secret replaced by dots.
//!
//! A finding is made before it is known what a line is, and often because it is not what it should be: so this goes by
//! what the bytes look like.
//!
//! ```text
//! text ─ parser ─▶ Spans: where its secrets stand ──────────────┐
//! no YAML: lines above ─ Holders ─▶ what holds the line ────────┤
//!                                    line ─ words, by their looks ┴─▶ ranges that are hidden ─▶ the line
//! ```

mod holders;
mod spans;
mod words;

use std::ops::Range;

use holders::Holders;
pub(super) use spans::Spans;
use words::{
    REFERENCES, begins_like_a_secret, is_close_to_api_key, is_plain_value, is_variable_name,
    looks_like_a_secret, names_a_secret, split_key,
};

/// What ends a word.
const SEPARATORS: [char; 9] = [' ', '\t', ',', '{', '}', '[', ']', '"', '\''];

/// What may stand between a key, or a name, and its colon.
const BLANK: [char; 4] = [' ', '\t', '"', '\''];

/// So much of a line is looked at at once, in bytes.
const LOOKED_AT: usize = 4 << 10;

/// Shows lines of one text. Each line is read once, as long as they are asked for from the top.
pub struct Masker<'t> {
    text: &'t str,
    known: Known,
    /// What was looked at last of a line, and what of it is hidden.
    line: Option<Range<usize>>,
    hidden: Vec<Hidden>,
}

/// What is known of a text beside the line itself.
enum Known {
    /// It is YAML: where its secrets stand.
    Spans(Spans),
    /// It is none: what may hold the line after so many bytes.
    Lines(Holders, usize),
}

/// A part of the text that is not shown.
struct Hidden {
    range: Range<usize>,
    /// What surrounds a value stays, so that the line can still be recognised.
    keeps_punctuation: bool,
}

impl<'t> Masker<'t> {
    /// Returns a masker at the top of a text.
    pub fn new(text: &'t str) -> Self {
        let known = Spans::of(text).map_or_else(|| Known::Lines(Holders::default(), 0), Known::Spans);
        Self { text, known, line: None, hidden: Vec::new() }
    }

    /// Returns a line with everything that may be a secret replaced by dots, one for each character. `line` is its
    /// range in the text, without its end.
    pub fn line(&mut self, line: Range<usize>) -> String {
        self.part(line.clone(), line)
    }

    /// Whether anything of a line is hidden.
    pub(super) fn hides(&mut self, line: Range<usize>) -> bool {
        self.look_at(&line, line.end);
        self.hidden.iter().any(|hidden| !hidden.range.is_empty())
    }

    /// Returns a part of a line in the same way. What is hidden of it depends on the whole line.
    pub(super) fn part(&mut self, line: Range<usize>, part: Range<usize>) -> String {
        self.look_at(&line, part.end);
        let mut shown = String::new();
        let mut at = part.start;
        let first = self.hidden.partition_point(|hidden| hidden.range.end <= part.start);
        for Hidden { range, keeps_punctuation } in &self.hidden[first..] {
            let (start, end) = (range.start.clamp(at, part.end), range.end.clamp(at, part.end));
            let stays = |char: &char| {
                char.is_whitespace() || (*keeps_punctuation && (SEPARATORS.contains(char) || *char == ':'))
            };
            shown.push_str(&self.text[at..start]);
            shown.extend(self.text[start..end].chars().map(|char| if stays(&char) { char } else { '•' }));
            at = end;
            if at == part.end {
                break;
            }
        }
        shown.push_str(&self.text[at..part.end]);
        shown
    }

    /// Finds what is hidden of a line, at least up to `end`: a line may be as long as the text, and what is shown of it
    /// may stand at its beginning.
    fn look_at(&mut self, line: &Range<usize>, end: usize) {
        if self.line.as_ref().is_some_and(|known| known.start == line.start && known.end >= end) {
            return;
        }
        let text = self.text;
        let ahead = (2 * (end - line.start)).max(LOOKED_AT);
        let line = line.start..text.floor_char_boundary(line.end.min(line.start + ahead));
        self.hidden = match &mut self.known {
            Known::Spans(spans) => by_place(text, &line, spans),
            Known::Lines(holders, read) => {
                if line.start < *read {
                    (*holders, *read) = (Holders::default(), 0);
                }
                text[*read..line.start].lines().for_each(|above| holders.enter(above));
                *read = line.start;
                by_looks(&text[line.clone()], line.start, holders)
            }
        };
        self.line = Some(line);
    }
}

/// Whether anything in a text may be a secret.
pub(super) fn hides(text: &str) -> bool {
    let mut masker = Masker::new(text);
    lines(text).any(|line| masker.hides(line))
}

/// Returns a whole text with everything that may be a secret replaced by dots. `more` are secrets that are known from
/// elsewhere.
pub(super) fn text<'m>(text: &str, more: impl Iterator<Item = &'m str>) -> String {
    let mut masker = Masker::new(text);
    if let Known::Spans(spans) = &mut masker.known {
        more.for_each(|secret| spans.know(secret));
    }
    let mut shown = String::with_capacity(text.len());
    let mut at = 0;
    for line in lines(text) {
        shown.push_str(&text[at..line.start]);
        at = line.end;
        shown.push_str(&masker.line(line));
    }
    shown + &text[at..]
}

/// Returns a name or a value that stands in a message, masked as if it were a line.
pub(super) fn word(text: &str) -> String {
    let holders = Holders::default();
    let mut masker = Masker { text, known: Known::Lines(holders, 0), line: None, hidden: Vec::new() };
    masker.line(0..text.len())
}

/// Returns a message without a name that may be a secret instead.
pub(super) fn without(message: &str, name: &str) -> String {
    if is_variable_name(name) || spans::is_a_name(name) {
        message.to_owned()
    } else {
        message.replace(name, "••••")
    }
}

/// Returns the lines of a text, without their ends.
fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let range = start..start + line.trim_end_matches(['\r', '\n']).len();
        start += line.len();
        range
    })
}

/// Returns what of a line of YAML may be a secret, from left to right: the values of keys that name one, and what is
/// taken for one elsewhere, in comments, for instance.
fn by_place(text: &str, line: &Range<usize>, spans: &Spans) -> Vec<Hidden> {
    let hide = |range| Hidden { range, keeps_punctuation: false };
    let shown = &text[line.clone()];
    let mut hidden: Vec<Hidden> =
        spans.within(line).map(|span| hide(span.start.max(line.start)..span.end.min(line.end))).collect();
    for secret in spans.aliased() {
        let found = shown.match_indices(secret).map(|(at, _)| line.start + at);
        hidden.extend(found.map(|at| hide(at..at + secret.len())));
    }
    words(shown, line.start, (false, false), &mut hidden, |word, at| {
        if spans.knows_key(at) || spans.is_name(at) || spans.within(&(at..at + 1)).next().is_some() {
            return Hides::Nothing;
        }
        word.hides()
    });
    hidden.sort_by_key(|hidden| (hidden.range.start, hidden.range.end));
    hidden
}

/// Returns what of a line may be a secret where nothing but its looks, and the lines above, say so.
///
/// A value is hidden when its key's name says so or is close to `api_key`, when the line continues such a value, and
/// when it looks like a secret, whatever its key. Fields that are known to hold something else, `${NAME}` and what
/// stands under `apiKeyFrom` are shown.
fn by_looks(line: &str, start: usize, holders: &Holders) -> Vec<Hidden> {
    if holders.hide(line) {
        return vec![Hidden { range: start..start + line.len(), keeps_punctuation: false }];
    }
    let opens_an_object = holders.hold_objects(line) && opens_an_object(line);
    let names_places = holders.are_references(line);
    let mut hidden = Vec::new();
    words(line, start, (opens_an_object, names_places), &mut hidden, |word, _| word.hides());
    hidden
}

/// Asks of every word of a line what of it is hidden. `holders`: whether the first word is the name of an object, and
/// whether the line says from where a secret is taken.
fn words(
    line: &str,
    start: usize,
    holders: (bool, bool),
    hidden: &mut Vec<Hidden>,
    hides: impl Fn(&Word<'_>, usize) -> Hides,
) {
    let (mut is_id, mut in_reference) = holders;
    let mut key_before = false;
    let mut at = 0;
    while let Some(next) = line[at..].chars().next() {
        if SEPARATORS.contains(&next) {
            is_id &= BLANK.contains(&next);
            at += next.len_utf8();
            continue;
        }
        let rest = &line[at..];
        if let Some(length) = variable(rest) {
            (at, is_id) = (at + length, false);
            continue;
        }
        let (text, behind) = rest.split_at(rest.find(SEPARATORS).unwrap_or(rest.len()));
        let word = Word { text, behind, in_reference, is_id, key_before };
        let end = at + text.len();
        match hides(&word, start + at) {
            Hides::FromHere(skipped) => {
                let value = at + skipped..end;
                // A secret may hold commas, braces and colons.
                for (range, keeps_punctuation) in [(value, false), (end..line.len(), true)] {
                    let range = start + range.start..start + range.end;
                    hidden.push(Hidden { range, keeps_punctuation });
                }
                return;
            }
            Hides::Part(part) => {
                let range = start + at + part.start..start + at + part.end;
                hidden.push(Hidden { range, keeps_punctuation: false });
            }
            Hides::Nothing => in_reference |= REFERENCES.iter().any(|name| text.contains(name)),
        }
        key_before = word.names_a_secret();
        is_id = false;
        at = end;
    }
}

/// What of a word is hidden.
enum Hides {
    Nothing,
    Part(Range<usize>),
    /// All but so many bytes at its beginning, and everything behind it.
    FromHere(usize),
}

/// What stands between two separators, with what is known of it.
#[derive(Clone, Copy)]
struct Word<'l> {
    text: &'l str,
    /// The rest of the line.
    behind: &'l str,
    in_reference: bool,
    /// Whether it is the name of an object, which may be called anything.
    is_id: bool,
    /// Whether the word before names a secret.
    key_before: bool,
}

impl Word<'_> {
    fn names_a_secret(&self) -> bool {
        !self.in_reference && !self.is_id && names_a_secret(split_key(self.text).0)
    }

    fn hides(&self) -> Hides {
        let (_, value) = split_key(self.text);
        let inline = value.unwrap_or_default();
        let before_value = self.text.len() - inline.len();
        if self.begins_a_secret() {
            Hides::FromHere(before_value)
        } else if begins_like_a_secret(self.text) {
            Hides::FromHere(0)
        } else if let Some(password) = password(self.text) {
            Hides::Part(password)
        } else if looks_like_a_secret(self.text) && !self.in_reference {
            Hides::Part(0..self.text.len())
        } else if looks_like_a_secret(inline) {
            Hides::Part(before_value..self.text.len())
        } else {
            Hides::Nothing
        }
    }

    /// Whether this is a key with a secret behind it, or the colon between the two.
    fn begins_a_secret(&self) -> bool {
        let (name, value) = split_key(self.text);
        let key = name.trim_start_matches(['#', '?']);
        let has_colon = value.is_some() || self.behind.trim_start_matches(BLANK).starts_with([':', '=']);
        let value = value.filter(|value| !value.is_empty()).unwrap_or_else(|| behind_colon(self.behind));
        if variable(value.trim_start_matches(BLANK)).is_some() {
            return false;
        }
        let first = value.trim_start_matches(BLANK).split(SEPARATORS).next().unwrap_or_default();
        let is_plain = has_colon && !first.is_empty() && is_plain_value(name, first);
        let is_misused = (REFERENCES.contains(&key) && has_colon && !opens_a_mapping(value))
            || (self.in_reference && key == "token" && has_colon);
        is_misused
            || (self.names_a_secret() && !is_plain && (has_colon || is_close_to_api_key(name)))
            || (self.key_before && matches!(self.text, ":" | "="))
    }
}

/// Returns where the password of an address stands: `scheme://user:password@host`.
fn password(word: &str) -> Option<Range<usize>> {
    let start = word.find("://")? + "://".len();
    let end = start + word[start..].find('@')?;
    let colon = start + word[start..end].find(':')? + 1;
    let in_path = word[start..end].contains('/');
    (!in_path && colon < end && !word[colon..end].starts_with("${")).then_some(colon..end)
}

/// Returns what stands behind a key's colon.
fn behind_colon(behind: &str) -> &str {
    behind.trim_start_matches(['"', '\'']).trim_start().trim_start_matches([':', '=']).trim_start()
}

/// Whether a value is a mapping, or nothing: what another key holds begins with its own.
fn opens_a_mapping(value: &str) -> bool {
    value.is_empty() || value.starts_with(['{', '#', '&', '*'])
}

/// Whether a line is the name of an object with nothing, or with the object itself, behind it.
fn opens_an_object(line: &str) -> bool {
    line.trim_end().split_once(':').is_some_and(|(name, value)| {
        let value = value.trim();
        !is_close_to_api_key(name.trim().trim_matches(['"', '\'']))
            && (value.is_empty() || value.starts_with('{'))
    })
}

/// Returns the length of a whole `${NAME}` that a text begins with and that nothing but the end of a value follows.
fn variable(text: &str) -> Option<usize> {
    let name = text.strip_prefix("${")?;
    let end = name.find(|char: char| !char.is_ascii_alphanumeric() && char != '_')?;
    let behind = name[end..].strip_prefix('}')?;
    let ends = behind.is_empty() || behind.starts_with(SEPARATORS);
    (end > 0 && is_variable_name(&name[..end]) && ends).then_some(end + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked_line(text: &str, needle: &str) -> String {
        let at = text.find(needle).expect("the needle is there");
        let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
        let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        Masker::new(text).line(start..end)
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
            "services:\n  a:\n    ? api_key\n    : canary",
            "services:\n  a:\n    api_key:\n      # comment\n      canary",
            "services: {a: {api_key:\n      canary, type: cli}}",
            "services: {a: {api_key: # comment\n  canary, type: cli}}",
            "x-k: &k canary\nservices: {a: {api_key: *k}}",
            "services:\n  a:\n    site_name: &k canary\n    api_key: *k",
            "services: {a: {apiKeyFrom: {value: canary}}}",
            "services: {a: {apiKeyFrom: {canary: x}}}",
            "services: {a: {apiKeyFrom: {env: [canary]}}}",
            "services: {a: {apiKeyFrom: {env: canary-1}}}",
            "services: {a: {apiKeyFrom: {file: sk-or-v1-0canary0}}}",
            "services: {a: {apikeyfrom: canary}}",
            "custom: {authorization: Bearer canary}",
            "custom: {headers: {Authorization: 'Bearer canary'}}",
            "custom: {cookie: canary}",
            "custom: {db: 'postgres://user:canary@host/x'}",
            "services: {a: {type: http api_key:canary}}",
            "services: {a: {base_url: x, api_key:canary}}",
            "custom:\n  password: 12345canary",
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
            "cluster: {auth: none, token_limit: 5, max_token: 5, pass_through: true, tokenizer: bpe}",
            "    max_context_token: 128000",
            "services: {a: {apiKeyFrom: {env: OPENROUTER_KEY}, type: http}}",
            "services: {a: {apiKeyFrom: {secretKeyRef: {name: oxide-keys, key: openrouter.txt}}}}",
            "services: {my-key: {type: cli, executable: x}}",
            "base_url: http://user@host:8080/v1",
            "base_url: http://localhost:11434/a:b@c",
        ] {
            let last = text.lines().last().expect("a line");
            assert_eq!(masked_line(text, last), last);
        }
    }

    #[test]
    fn of_a_flow_only_the_secret_is_hidden() {
        assert_eq!(masked_line("x: {token: sk-abcdefgh, b: c}", "x"), "x: {token: •••••••••••, b: c}");
        let text = "services: {a: {type: http, api_key: 'one, {two}', base_url: http://x}}";
        let shown = "services: {a: {type: http, api_key: ••••• ••••••, base_url: http://x}}";
        assert_eq!(masked_line(text, "api_key"), shown);
        assert_eq!(
            masked_line("custom: {api_key: [ab, cd], b: c}", "custom"),
            "custom: {api_key: •••• •••, b: c}"
        );
    }

    #[test]
    fn a_key_of_many_lines_is_hidden_to_its_end() {
        let text = format!("services:\n  a:\n    api_key: |\n{}      canary\n", "      line\n".repeat(300));
        assert!(!masked_line(&text, "canary").contains("canary"));
        let open = format!("services:\n  a:\n    api_key: \"\n{}canary\n", "line\n".repeat(300));
        assert!(!masked_line(&open, "canary").contains("canary"));
    }

    #[test]
    fn ordinary_values_are_shown() {
        let text = "    base_url: http://localhost:11434";
        assert_eq!(masked_line(text, "http"), text);
        let model = "    default_model: \"qwen2.5-coder:7b\"";
        assert_eq!(masked_line(model, "qwen"), model);
    }
}
