//! Where the secrets of a text stand, as its parser sees them: exactly, whatever form they have.

use std::collections::HashSet;
use std::ops::Range;

use super::variable;
use super::words::{
    REFERENCES, begins_like_a_secret, is_plain_value, is_variable_name, looks_like_a_secret, names_a_secret,
};
use crate::desired::yaml::{Content, Next, Node, Reader, Result};
use crate::model::Section;

/// What of a text is a secret by its place.
#[derive(Debug, Default)]
pub(in crate::desired) struct Spans {
    /// The values, in the order of the text, none within another.
    secrets: Vec<Range<usize>>,
    /// Names of places from which secrets are taken, in the same order.
    names: Vec<Range<usize>>,
    /// Where words begin that name objects, and these values: what stands behind them is known.
    keys: HashSet<usize>,
    /// What stands elsewhere, and is a secret because an alias takes it where one belongs.
    aliased: HashSet<String>,
}

impl Spans {
    /// Reads a text; none when it cannot be read.
    pub(in crate::desired) fn of(text: &str) -> Option<Self> {
        let mut found = Self::default();
        found.read(&mut Reader::limited(text), text).ok()?;
        for spans in [&mut found.secrets, &mut found.names] {
            // What is merged into a mapping stands above it.
            spans.sort_by_key(|span| (span.start, std::cmp::Reverse(span.end)));
            let mut end = 0;
            spans.retain(|span| {
                let reaches_on = span.end > end;
                end = end.max(span.end);
                reaches_on
            });
        }
        Some(found)
    }

    /// Returns the secrets that reach into a part of the text.
    pub(super) fn within(&self, part: &Range<usize>) -> impl Iterator<Item = &Range<usize>> {
        let first = self.secrets.partition_point(|span| span.end <= part.start);
        let end = part.end;
        self.secrets[first..].iter().take_while(move |span| span.start < end)
    }

    /// Whether the value of the key that begins here is known.
    pub(super) fn knows_key(&self, at: usize) -> bool {
        self.keys.contains(&at)
    }

    /// Whether what stands here says from where a secret is taken.
    pub(super) fn is_name(&self, at: usize) -> bool {
        let next = self.names.partition_point(|span| span.end <= at);
        self.names.get(next).is_some_and(|span| span.start <= at)
    }

    /// Returns secrets that an alias takes from wherever they stand.
    pub(in crate::desired) fn aliased(&self) -> impl Iterator<Item = &str> {
        self.aliased.iter().map(String::as_str)
    }

    /// Takes note of a secret that is known from elsewhere.
    pub(super) fn know(&mut self, secret: &str) {
        self.aliased.insert(secret.to_owned());
    }

    fn read(&mut self, reader: &mut Reader<'_>, text: &str) -> Result<()> {
        if reader.open()? != Next::Mapping {
            if reader.next_is()? != Next::End {
                let root = reader.node()?;
                self.inside(&root, text);
            }
            return reader.close();
        }
        reader.enter()?;
        while reader.next_is()? != Next::End {
            let key = reader.key()?;
            let section = key.text().and_then(Section::named).filter(|it| *it != Section::Execution);
            if section.is_none() {
                let value = reader.node()?;
                self.entry(&key, &value, text);
            } else if reader.next_is()? == Next::Mapping {
                reader.enter()?;
                while reader.next_is()? != Next::End {
                    let (id, object) = (reader.key()?, reader.node()?);
                    self.object(&id, &object, text);
                }
                reader.leave()?;
            } else {
                let objects = reader.node()?;
                match &objects.content {
                    Content::Mapping(entries) => {
                        entries.iter().for_each(|(id, object)| self.object(id, object, text));
                    }
                    _ => self.inside(&objects, text),
                }
            }
        }
        reader.leave()?;
        reader.close()
    }

    /// An object may be called anything.
    fn object(&mut self, id: &Node<'_>, object: &Node<'_>, text: &str) {
        if matches!(object.content, Content::Mapping(_)) {
            self.know_key(id);
            self.inside(object, text);
        } else {
            self.entry(id, object, text);
        }
    }

    fn know_key(&mut self, key: &Node<'_>) {
        // With a colon in it, the value may stand in the key itself. A quote is not a part of the word.
        if key.text().is_some_and(|name| !name.contains([':', '='])) {
            self.keys.extend([key.span.start, key.span.start + 1]);
        }
    }

    fn inside(&mut self, node: &Node<'_>, text: &str) {
        match &node.content {
            Content::Scalar { .. } => {}
            Content::Sequence(items) => items.iter().for_each(|item| self.inside(item, text)),
            Content::Mapping(entries) => {
                entries.iter().for_each(|(key, value)| self.entry(key, value, text));
            }
        }
    }

    fn entry(&mut self, key: &Node<'_>, value: &Node<'_>, text: &str) {
        let name = key.text().unwrap_or_default();
        if REFERENCES.contains(&name) {
            self.reference(value);
        } else if names_a_secret(name) {
            self.know_key(key);
            match value.text() {
                Some(plain) if is_plain_value(name, plain) || variable(plain) == Some(plain.len()) => {}
                _ => self.hide(value, text),
            }
        } else {
            self.inside(value, text);
        }
    }

    fn hide(&mut self, value: &Node<'_>, text: &str) {
        self.secrets.push(value.span.clone());
        if let Some(secret) = value.text()
            && text[value.span.clone()].starts_with('*')
        {
            self.aliased.insert(secret.to_owned());
        }
    }

    /// What says from where a secret is taken: only what cannot be the secret itself is shown.
    fn reference(&mut self, value: &Node<'_>) {
        let Content::Mapping(entries) = &value.content else {
            return self.secrets.push(value.span.clone());
        };
        for (key, value) in entries.iter() {
            let (kind, text) = (key.text().unwrap_or_default(), value.text());
            match (kind, text) {
                ("secretKeyRef", _) => self.reference(value),
                ("env", Some(name)) if is_variable_name(name) => self.names.push(value.span.clone()),
                ("file" | "name" | "key", Some(name)) if is_a_name(name) => {
                    self.names.push(value.span.clone());
                }
                ("env" | "file" | "name" | "key" | "token", _) => self.secrets.push(value.span.clone()),
                _ => self.secrets.push(key.span.start..value.span.end.max(key.span.end)),
            }
            self.know_key(key);
        }
    }
}

/// Whether a text can be the path of a file, or the name of a Secret or of a key in it: these hold words, and are not
/// of one piece.
pub(super) fn is_a_name(text: &str) -> bool {
    !begins_like_a_secret(text)
        && (text.contains('/') || text.split(['-', '.', '_']).all(|part| !looks_like_a_secret(part)))
}
