//! Byte ranges to file, line, column and the line's text, with secrets masked.

use std::collections::HashMap;
use std::ops::Range;

use super::Spanned;
use super::check::Broken;
use super::yaml::{Content, Next, Node, Reader};
use crate::model::{Finding, Location, Section, Severity, SourceSnapshot};

/// How much of a line is shown, in characters: what a terminal shows.
const MAX_SHOWN: usize = 120;

/// How much of a long line is shown before the place, in characters.
const SHOWN_BEFORE: usize = 40;

/// Words that, in a key's name, make its value a secret in what we print.
const SECRET_WORDS: [&str; 5] = ["key", "token", "secret", "password", "credential"];

/// Line breaks in YAML 1.1, which the orchestrator reads, and plain characters in YAML 1.2, which we read: a value
/// or a comment with one in it would end at different places.
const DISPUTED_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

/// Returns the text of a document, or what is wrong with its bytes.
pub(super) fn utf8<'b>(name: &str, bytes: &'b [u8]) -> Result<&'b str, Box<Finding>> {
    let at = |end: usize, what: &str, help: &str| {
        let before = String::from_utf8_lossy(&bytes[..end]);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|char| *char != '\n').count() + 1;
        Box::new(Finding::error(format!("{name}:{line}:{column}: {what}")).suggest(help))
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| at(error.valid_up_to(), "this byte is not UTF-8", "save the file as UTF-8"))?;
    let disputed = if text.is_ascii() { None } else { text.find(DISPUTED_BREAKS) };
    match disputed {
        Some(end) => {
            let what =
                "a line break of YAML 1.1 (U+0085, U+2028 or U+2029) that YAML 1.2 reads as a character";
            Err(at(end, what, "remove it, or write it as an escape in double quotes: \"\\L\""))
        }
        None => Ok(text),
    }
}

/// Locates findings of one document, in the order of their places. Only as many of each severity as will be shown get
/// a place: the others are only counted.
pub(super) fn all(name: &str, text: &str, mut findings: Vec<Spanned>) -> Vec<Finding> {
    findings.sort_by_key(|finding| finding.span.start);
    let lines = Lines::of(text);
    let mut located = HashMap::from([(Severity::Error, 0), (Severity::Warning, 0)]);
    findings
        .into_iter()
        .map(|Spanned { mut finding, span }| {
            let count = located.entry(finding.severity).or_insert(0);
            *count += 1;
            if *count <= super::MAX_FINDINGS {
                finding.location = Some(lines.location(name, &span));
            }
            finding
        })
        .collect()
}

/// Whether a text declares an object, or a section when no `id` is given.
pub(super) fn declares(text: &str, section: Section, id: Option<&str>) -> bool {
    match id {
        Some(id) => find_entries(text, |found, name, _| found == section && name == id).is_some(),
        None => super::value_of(text).is_ok_and(|value| value.get(section.name()).is_some()),
    }
}

/// Returns where each key stands that is wanted.
pub(super) fn key_places(name: &str, text: &str, wanted: impl Fn(&str) -> bool) -> Vec<(String, Location)> {
    fn walk(node: &Node<'_>, path: &str, visit: &mut impl FnMut(String, &Range<usize>)) {
        let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        match &node.content {
            Content::Mapping(entries) => {
                for (key, value) in entries {
                    let path = inner(key.text().unwrap_or_default());
                    visit(path.clone(), &key.span);
                    walk(value, &path, visit);
                }
            }
            Content::Sequence(items) => {
                for (position, item) in items.iter().enumerate() {
                    let path = inner(&position.to_string());
                    visit(path.clone(), &item.span);
                    walk(item, &path, visit);
                }
            }
            Content::Scalar { .. } => {}
        }
    }
    let mut reader = Reader::new(text);
    let Ok(root) = reader.open().and_then(|_| reader.node()) else { return Vec::new() };
    let (lines, mut places) = (Lines::of(text), Vec::new());
    walk(&root, "", &mut |path, span| {
        if wanted(&path) {
            places.push((path, lines.location(name, span)));
        }
    });
    places
}

/// Locates broken references by reading the documents once more: errors are rare, and positions of every value
/// would cost memory on every good file.
pub(super) fn references(source: &SourceSnapshot, broken: Vec<Broken>) -> Vec<Finding> {
    if broken.is_empty() {
        return Vec::new();
    }
    let mut wanted: HashMap<(Section, &str), Vec<usize>> = HashMap::new();
    for (position, broken) in broken.iter().enumerate().take(super::MAX_FINDINGS) {
        wanted.entry((broken.path.section, &broken.path.id)).or_default().push(position);
    }
    let mut places: HashMap<usize, Location> = HashMap::new();
    for document in &source.documents {
        let text = std::str::from_utf8(&document.bytes).unwrap_or_default();
        let lines = Lines::of(text);
        find_entries(text, |section, id, node| {
            for position in wanted.get(&(section, id)).into_iter().flatten() {
                if let Some(span) = span_of(&broken[*position], node) {
                    places.insert(*position, lines.location(&document.name, &span));
                }
            }
            false
        });
    }
    let numbered = broken.into_iter().enumerate();
    numbered.map(|(position, it)| Finding { location: places.remove(&position), ..it.finding }).collect()
}

fn span_of(broken: &Broken, node: &Node<'_>) -> Option<Range<usize>> {
    let Content::Mapping(entries) = &node.content else { return None };
    let name = match broken.path.field {
        Some(field) => broken.path.section.spec(field).name,
        None => return Some(node.span.start..node.span.start),
    };
    let (_, value) = entries.iter().find(|(key, _)| key.text() == Some(name))?;
    match &value.content {
        Content::Sequence(items) => {
            items.iter().find(|item| item.text() == broken.text.as_deref()).map(|item| item.span.clone())
        }
        _ => Some(value.span.clone()),
    }
}

/// Visits the entries of the managed sections until `found` says so.
fn find_entries(text: &str, mut found: impl FnMut(Section, &str, &Node<'_>) -> bool) -> Option<()> {
    let mut reader = Reader::new(text);
    if reader.open().ok()? != Next::Mapping {
        return None;
    }
    reader.enter().ok()?;
    while reader.next_is().ok()? != Next::End {
        let key = reader.node().ok()?;
        let value = reader.node().ok()?;
        let Some(section) = key.text().and_then(Section::named) else { continue };
        if section == Section::Execution {
            if found(section, "", &value) {
                return Some(());
            }
            continue;
        }
        let Content::Mapping(entries) = &value.content else { continue };
        if entries.iter().any(|(key, value)| key.text().is_some_and(|id| found(section, id, value))) {
            return Some(());
        }
    }
    None
}

/// A text with the places at which its lines begin: found once, so that a finding costs what is shown of it.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn of(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(breaks).collect() }
    }

    fn location(&self, name: &str, span: &Range<usize>) -> Location {
        let text = self.text;
        let start = floor(text, span.start);
        let line = self.starts.partition_point(|begins| *begins <= start);
        let line_start = self.starts[line.saturating_sub(1)];
        let line_end = self.starts.get(line).map_or(text.len(), |next| next - 1);
        let end = floor(text, span.end.clamp(start, line_end));
        let before = text[line_start..start].chars().count();
        // Of a long line, what is around the place. What is masked depends on what stands before it, so that is read, too.
        let left_out = if before < MAX_SHOWN { 0 } else { before - SHOWN_BEFORE };
        let shown_end =
            text[start..line_end].char_indices().nth(MAX_SHOWN).map_or(line_end, |(at, _)| start + at);
        let masked = masked(text, line_start..shown_end);
        let shown: String = masked.chars().skip(left_out).take(MAX_SHOWN).collect();
        let room = MAX_SHOWN - (before - left_out);
        Location {
            file: name.to_owned(),
            line,
            column: before + 1,
            shown_from: left_out + 1,
            length: text[start..end].trim_end().chars().take(room).count().max(1),
            text: shown.trim_end().replace('\t', " "),
        }
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns a line with everything that may be a secret replaced by dots, one for each character.
///
/// A value is masked when its key's name says so or is close to `api_key`, when the line continues such a
/// value, and when it is a long run of letters and digits, whatever its key.
pub(super) fn masked(text: &str, line: Range<usize>) -> String {
    let shown = &text[line.clone()];
    if continues_a_secret(text, line.start, shown) {
        return shown.chars().map(|char| if char.is_whitespace() { char } else { '•' }).collect();
    }
    let mut masked = String::with_capacity(shown.len());
    let mut secret = false;
    for piece in shown.split_inclusive([' ', ',', '{', '}', '"', '\'']) {
        let word = piece.trim_end_matches([' ', ',', '{', '}', '"', '\'']);
        if secret || (!word.ends_with(':') && looks_like_a_secret(word)) {
            masked.extend(word.chars().map(|_| '•'));
            masked.push_str(&piece[word.len()..]);
        } else {
            masked.push_str(piece);
        }
        // To the end of the line: a key may hold commas, braces and colons, and the colon after its name may lack.
        secret = secret || names_a_secret(word);
    }
    masked
}

/// Whether the line belongs to a value whose key, on a line above and further left, names a secret.
fn continues_a_secret(text: &str, line_start: usize, line: &str) -> bool {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let mut limit = indent(line);
    for above in text[..line_start].lines().rev().take(200) {
        if above.trim().is_empty() || indent(above) >= limit && !(indent(above) == 0 && limit == 0) {
            continue;
        }
        let key = above.trim_start().trim_start_matches("- ");
        let (name, value) = key.split_once(':').unwrap_or((key, ""));
        let value = value.trim();
        if names_a_secret(name) {
            return value.is_empty() || value.starts_with(['|', '>', '"', '\'', '&', '!']);
        }
        limit = indent(above);
        if limit == 0 {
            return false;
        }
    }
    false
}

/// Whether some key in a YAML text is named like a secret and has a value.
pub(super) fn names_a_secret_somewhere(yaml: &str) -> bool {
    yaml.lines().any(|line| {
        let key = line.trim_start().trim_start_matches("- ").trim_start_matches('#');
        key.split_once(':')
            .is_some_and(|(name, value)| names_a_secret(name.trim()) && !value.trim().is_empty())
    })
}

fn names_a_secret(name: &str) -> bool {
    let name = name.trim_matches(['"', '\'', ':', ' ', '{', '-']).to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word)) || strsim::osa_distance(&name, "api_key") <= 3
}

fn looks_like_a_secret(word: &str) -> bool {
    let has = |test: fn(char) -> bool| word.chars().any(test);
    word.len() >= 16
        && has(|char| char.is_ascii_digit())
        && has(|char| char.is_ascii_alphabetic())
        && word
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '+' | '/' | '='))
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
        let canary = "sk-canary";
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
        ] {
            assert!(!masked_line(text, canary).contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_long_run_of_letters_and_digits_is_masked_wherever_it_stands() {
        assert_eq!(masked_line("site_name: sk0or0v1abcdefghij", "sk0"), "site_name: ••••••••••••••••••");
    }

    #[test]
    fn ordinary_values_are_shown() {
        let text = "    base_url: http://localhost:11434";
        assert_eq!(masked_line(text, "http"), text);
        let model = "    default_model: \"qwen2.5-coder:7b\"";
        assert_eq!(masked_line(model, "qwen"), model);
    }
}
