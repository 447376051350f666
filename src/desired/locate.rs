//! Byte ranges to file, line, column and the line's text, with secrets masked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use super::check::Broken;
use super::escape;
use super::findings::Spanned;
use super::mask::Masker;
use super::yaml::{Content, Next, Node, Reader};
use crate::model::{Finding, Location, Section, SourceSnapshot, printable_in_place};

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

/// Locates findings of one document, in the order of their places.
pub(super) fn all(name: &str, text: &str, findings: Vec<Spanned>) -> Vec<Finding> {
    let spans = findings.into_iter().map(|Spanned { finding, span }| (finding, span)).collect();
    let located = located(name, text, spans).into_iter();
    located.map(|(finding, location)| Finding { location: Some(location), ..finding }).collect()
}

/// Locates things in a text, in the order of their places.
fn located<T>(name: &str, text: &str, mut things: Vec<(T, Range<usize>)>) -> Vec<(T, Location)> {
    things.sort_by_key(|(_, span)| span.start);
    let mut lines = Lines::of(name, text);
    things.into_iter().map(|(thing, span)| (thing, lines.location(&span))).collect()
}

/// Whether a text declares an object, or a section when no `id` is given.
pub(super) fn declares(text: &str, section: Section, id: Option<&str>) -> bool {
    match id {
        Some(id) => find_entries(text, |found, name, _| found == section && name == id).is_some(),
        None => super::value_of(text).is_ok_and(|value| value.get(section.name()).is_some()),
    }
}

/// Returns where each key stands that is wanted, by its path.
pub(super) fn places_of(name: &str, text: &str, wanted: &BTreeSet<String>) -> BTreeMap<String, Location> {
    let mut reader = Reader::new(text);
    let Ok(root) = reader.open().and_then(|_| reader.node()) else { return BTreeMap::new() };
    let longest = wanted.iter().map(String::len).max().unwrap_or_default();
    let mut walk = Walk { wanted, longest, found: Vec::new() };
    walk.node(&root, &mut String::new());
    located(name, text, walk.found).into_iter().collect()
}

/// A walk over all keys of a text.
struct Walk<'w> {
    wanted: &'w BTreeSet<String>,
    longest: usize,
    found: Vec<(String, Range<usize>)>,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node<'_>, path: &mut String) {
        match &node.content {
            Content::Mapping(entries) => {
                for (key, value) in entries.iter() {
                    self.inner(key.text().unwrap_or_default(), &key.span, value, path);
                }
            }
            Content::Sequence(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.inner(&position.to_string(), &item.span, item, path);
                }
            }
            Content::Scalar { .. } => {}
        }
    }

    fn inner(&mut self, key: &str, span: &Range<usize>, value: &Node<'_>, path: &mut String) {
        let outer = path.len();
        // Nothing that is wanted lies below a longer path; a name may be as long as the text.
        if outer + key.len() <= self.longest {
            path.push_str(if outer > 0 { "." } else { "" });
            path.push_str(key);
            if self.wanted.contains(path) {
                self.found.push((path.clone(), span.clone()));
            }
            self.node(value, path);
            path.truncate(outer);
        }
    }
}

/// Locates broken references by reading the documents once more: errors are rare, and positions of every value
/// would cost memory on every good file.
pub(super) fn references(source: &SourceSnapshot, broken: Vec<Broken>) -> Vec<Finding> {
    if broken.is_empty() {
        return Vec::new();
    }
    let mut wanted: HashMap<(Section, &str), Vec<usize>> = HashMap::new();
    for (position, broken) in broken.iter().enumerate() {
        wanted.entry((broken.path.section, &broken.path.id)).or_default().push(position);
    }
    let mut places: HashMap<usize, Location> = HashMap::new();
    for document in &source.documents {
        let text = std::str::from_utf8(&document.bytes).unwrap_or_default();
        let mut spans = Vec::new();
        find_entries(text, |section, id, node| {
            let positions = wanted.get(&(section, id)).into_iter().flatten();
            spans.extend(positions.filter_map(|it| Some((*it, span_of(&broken[*it], node)?))));
            false
        });
        places.extend(located(&document.name, text, spans));
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

/// Visits the entries of the managed sections, one after the other, until `found` says so.
pub(super) fn find_entries(
    text: &str,
    mut found: impl FnMut(Section, &str, &Node<'_>) -> bool,
) -> Option<()> {
    let mut reader = Reader::limited(text);
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

/// A text that is gone through from its top, so that a finding costs what is shown of it.
struct Lines<'t> {
    name: &'t str,
    text: &'t str,
    /// The line that was reached, and where it begins.
    line: usize,
    line_start: usize,
    masker: Masker<'t>,
}

impl<'t> Lines<'t> {
    fn of(name: &'t str, text: &'t str) -> Self {
        Self { name, text, line: 1, line_start: 0, masker: Masker::new(text) }
    }

    /// Returns a place that is not above the last one.
    fn location(&mut self, span: &Range<usize>) -> Location {
        let text = self.text;
        let start = text.floor_char_boundary(span.start);
        let passed = &text[self.line_start..start];
        self.line += passed.matches('\n').count();
        self.line_start += passed.rfind('\n').map_or(0, |at| at + 1);
        let (line, line_start) = (self.line, self.line_start);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = text.floor_char_boundary(span.end.clamp(start, line_end));
        let before = text[line_start..start].chars().count();
        // Of a long line, what is around the place.
        let shown_before = if before < MAX_SHOWN { before } else { SHOWN_BEFORE };
        let shown_start = text[line_start..start].char_indices().rev().take(shown_before).last();
        let shown_start = line_start + shown_start.map_or(start - line_start, |(at, _)| at);
        let room = MAX_SHOWN - shown_before;
        let shown_end = text[start..line_end].char_indices().nth(room);
        let shown_end = shown_end.map_or(line_end, |(at, _)| start + at);
        let shown = self.masker.part(line_start..line_end, shown_start..shown_end);
        Location {
            file: self.name.to_owned(),
            line,
            column: before + 1,
            shown_from: before - shown_before + 1,
            length: text[start..end].trim_end().chars().take(room).count().max(1),
            text: printable_in_place(shown.trim_end()),
        }
    }
}
