//! Byte ranges to file, line, column and the line's text, with secrets masked.

use std::collections::HashMap;
use std::ops::Range;

use super::Spanned;
use super::check::Broken;
use super::escape;
use super::mask::masked;
use super::yaml::{Content, Next, Node, Reader};
use crate::model::{Finding, Location, Section, Severity, SourceSnapshot, printable_in_place};

/// How much of a line is shown, in characters: what a terminal shows.
const MAX_SHOWN: usize = 120;

/// How much of a long line is shown before the place, in characters.
const SHOWN_BEFORE: usize = 40;

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
    match escape::unreadable_character(text) {
        Some((end, char)) => {
            let code = u32::from(char);
            let what = if escape::DISPUTED_BREAKS.contains(&char) {
                format!("U+{code:04X} is a line break in YAML 1.1 and a character in YAML 1.2")
            } else {
                format!("the character U+{code:04X} cannot stand in YAML as it is")
            };
            Err(at(end, &what, &escape::help(char)))
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
        let key = reader.key().ok()?;
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
            text: printable_in_place(shown.trim_end()),
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
