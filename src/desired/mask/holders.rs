//! What holds a line: the keys above it and further left, and a secret that has not ended.

use super::words::{REFERENCES, is_close_to_api_key, names_a_secret};
use super::{BLANK, SEPARATORS, opens_a_mapping};
use crate::model::Section;

/// What is known of the lines above. Entering a line costs what it is long.
#[derive(Default)]
pub(super) struct Holders {
    /// The keys that can hold what follows, each further right than the one before.
    keys: Vec<Key>,
    open: Open,
}

/// A key on a line above and, but for lists, further left than what it holds.
struct Key {
    indent: usize,
    names: Names,
    /// Whether it is an object itself: a service may be called anything.
    is_object: bool,
    /// Whether nothing, or a mapping, stands behind it.
    opens_a_mapping: bool,
    /// Whether a value can go on below it, however far left.
    opens_a_value: bool,
}

/// What a key names.
#[derive(PartialEq, Eq)]
enum Names {
    Secret,
    /// From where a secret is taken.
    Reference,
    /// A section with objects by name.
    Objects,
    Other,
}

/// Whether a secret began above and has not ended.
#[derive(Default)]
enum Open {
    #[default]
    No,
    /// Nothing stands behind its key, on the line directly above.
    Waits { indent: usize },
    /// In quotes: how many stand behind the first one, and how many of them close nothing.
    Quoted { quote: char, quotes: usize, escaped: usize },
}

impl Holders {
    /// Takes note of the next line of the text.
    pub(super) fn enter(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let indent = indent(line);
        while self.keys.last().is_some_and(|key| key.indent >= indent) {
            self.keys.pop();
        }
        let in_section = self.keys.last().is_some_and(|outer| outer.names == Names::Objects);
        self.keys.push(Key::of(line, indent, in_section));
        self.open.enter(line, indent);
    }

    /// Whether a line belongs to a value whose key names a secret.
    pub(super) fn hide(&self, line: &str) -> bool {
        let has_colon = line.contains(':');
        if let Some(key) = self.of(line).next().filter(|key| key.names == Names::Reference) {
            return !key.opens_a_mapping || !has_colon || self.open.goes_on_in(line);
        }
        let holds = |key: &Key| {
            let opens = key.indent < indent(line) || key.opens_a_value;
            // The fields of an object are keys themselves, whatever it is called.
            key.names == Names::Secret && opens && !(key.is_object && has_colon)
        };
        self.of(line).take_while(|key| key.names != Names::Reference).any(holds) || self.open.goes_on_in(line)
    }

    /// Whether a line stands directly in a section with objects by name.
    pub(super) fn hold_objects(&self, line: &str) -> bool {
        self.of(line).next().is_some_and(|key| key.names == Names::Objects)
    }

    /// Whether what a line says is from where a secret is taken.
    pub(super) fn are_references(&self, line: &str) -> bool {
        self.of(line).any(|key| key.names == Names::Reference)
    }

    /// Returns the keys that hold a line, the innermost first; of a line that holds itself, the one before it.
    fn of(&self, line: &str) -> impl Iterator<Item = &Key> {
        let limit = indent(line).max(1);
        self.keys.iter().rev().filter(move |key| key.indent < limit)
    }
}

impl Key {
    fn of(line: &str, indent: usize, in_section: bool) -> Self {
        let key = line.trim_start().trim_start_matches("- ");
        let (name, value) = key.split_once(':').unwrap_or((key, ""));
        let (name, value) = (name.trim_matches(['"', '\'', ' ', '?']), value.trim());
        let opens_a_mapping = opens_a_mapping(value);
        let names = if names_a_secret(name) {
            Names::Secret
        } else if REFERENCES.contains(&name) {
            Names::Reference
        } else if Section::named(name).is_some_and(|section| section != Section::Execution) {
            Names::Objects
        } else {
            Names::Other
        };
        Self {
            indent,
            names,
            is_object: in_section && opens_a_mapping && !is_close_to_api_key(name),
            opens_a_mapping,
            opens_a_value: value.is_empty() || value.starts_with(['|', '>', '"', '\'', '&', '!', '#']),
        }
    }
}

impl Open {
    fn enter(&mut self, line: &str, indent: usize) {
        let count = |text: &str, quote: char| {
            // One that is escaped closes nothing; one that is doubled counts twice.
            let escaped = if quote == '"' { text.matches("\\\"").count() } else { 0 };
            (text.matches(quote).count(), escaped)
        };
        *self = match (secret_value(line), &*self) {
            (Some(value), _) => match value.chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let (quotes, escaped) = count(&value[1..], quote);
                    Self::Quoted { quote, quotes, escaped }
                }
                Some(_) => Self::No,
                None => Self::Waits { indent },
            },
            (None, Self::Quoted { quote, quotes, escaped }) => {
                let more = count(line, *quote);
                Self::Quoted { quote: *quote, quotes: quotes + more.0, escaped: escaped + more.1 }
            }
            (None, _) => Self::No,
        };
    }

    /// Whether the next line, however far left it begins, belongs to the secret.
    fn goes_on_in(&self, line: &str) -> bool {
        match self {
            Self::No => false,
            Self::Quoted { quotes, escaped, .. } => quotes.saturating_sub(*escaped).is_multiple_of(2),
            // A line further right belongs to its holders; one with a key of its own is no value.
            Self::Waits { indent: at } => {
                let may_be_value = !line.contains(':') || line.trim_start().starts_with(['"', '\'']);
                may_be_value && indent(line) <= *at
            }
        }
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Returns what stands behind the last key of a line that names a secret.
fn secret_value(line: &str) -> Option<&str> {
    let mut value = None;
    let mut names_it = false;
    let mut begins = 0;
    let mut boundary = ' ';
    for (at, char) in line.char_indices().filter(|(_, char)| *char == ':' || SEPARATORS.contains(char)) {
        if at > begins {
            // A key may hold a colon itself.
            names_it = names_a_secret(&line[begins..at]) || (names_it && boundary == ':');
        }
        names_it &= char == ':' || BLANK.contains(&char);
        if char == ':' && names_it {
            value = Some(line[at + 1..].trim());
        }
        (begins, boundary) = (at + char.len_utf8(), char);
    }
    value
}
