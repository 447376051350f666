//! Entries of block mappings: changed, added, taken out.

use serde_json::{Map, Value as Json};

use super::Refused;
use super::differ::{Differ, Place};
use super::scalar;
use super::tree::{Entry, Node};

type Entries = Map<String, Json>;

impl Differ<'_> {
    pub(super) fn block_map(
        &mut self,
        node: &Node,
        place: Place,
        entries: &[Entry],
        before: &Entries,
        after: &Entries,
    ) -> Result<(), Refused> {
        let column = self.tree.column(entries[0].key.start);
        let stays = self.staying(entries, before, after)?;
        if !stays.contains(&true) {
            return self.exchange(node, place, column, entries, after);
        }
        for (position, entry) in entries.iter().enumerate() {
            let Some(name) = &entry.name else { continue };
            if !stays[position] {
                self.take_out(entries, position, column)?;
            } else if let (Some(old), Some(new), false) =
                (before.get(name), after.get(name), entry.is_merge())
                && old != new
            {
                let after = self.after_colon(entry)?;
                let place = Place { after, column: Some(column), flow: false, item: false };
                self.node(&entry.value, place, old, new)?;
            }
        }
        let mut lines = Vec::new();
        for (name, value) in added(entries, before, after) {
            if self.blank_lines_between(entries) {
                lines.push(String::new());
            }
            let quoted = entries.iter().all(|entry| entry.quoted);
            lines.extend(self.layout.entry(&key(name, quoted), value, column, self.step_of(entries, column)));
        }
        if !lines.is_empty() {
            let end = self.end_with_comments(entries, column);
            self.insert_lines(end, &lines);
        }
        Ok(())
    }

    /// Returns which entries stay, `<<` among them.
    pub(super) fn staying(
        &self,
        entries: &[Entry],
        before: &Entries,
        after: &Entries,
    ) -> Result<Vec<bool>, Refused> {
        let mut own: Vec<&str> = entries.iter().filter_map(|entry| entry.name.as_deref()).collect();
        own.sort_unstable();
        let start = entries.first().map_or(0, |entry| entry.key.start);
        if own.windows(2).any(|pair| pair[0] == pair[1]) || own.len() < entries.len() {
            return Err(self.tree.refuse(start, "a key stands here twice, or is no plain text"));
        }
        if let Some(name) = before
            .keys()
            .find(|name| !after.contains_key(*name) && own.binary_search(&name.as_str()).is_err())
        {
            return Err(self
                .tree
                .refuse(start, format!("`{name}` is taken over with `<<` and cannot be taken out here")));
        }
        let stays = |entry: &Entry| {
            entry.is_merge() || entry.name.as_ref().is_some_and(|name| after.contains_key(name))
        };
        Ok(entries.iter().map(stays).collect())
    }

    pub(super) fn after_colon(&self, entry: &Entry) -> Result<usize, Refused> {
        let why = "the key is not written as `key: value`";
        entry.after_colon.ok_or_else(|| self.tree.refuse(entry.key.start, why))
    }

    /// No entry stays: the new ones take the place of the old.
    fn exchange(
        &mut self,
        node: &Node,
        place: Place,
        column: usize,
        entries: &[Entry],
        after: &Entries,
    ) -> Result<(), Refused> {
        self.may_leave(node, &node.range)?;
        if !self.tree.begins_line(node.range.start) || place.item {
            return Err(self.tree.refuse(node.range.start, "every key would be another one"));
        }
        let step = self.step_of(entries, column);
        let lines: Vec<String> = after
            .iter()
            .flat_map(|(name, value)| self.layout.entry(&key(name, false), value, column, step))
            .collect();
        let start = self.tree.line_start(node.range.start);
        let end = self.tree.line_end(node.range.end);
        self.patch(start..end, lines.join(self.layout.eol));
        Ok(())
    }

    fn take_out(&mut self, entries: &[Entry], position: usize, column: usize) -> Result<(), Refused> {
        let entry = &entries[position];
        let range = entry.range();
        self.may_leave(&entry.value, &range)?;
        if self.tree.begins_line(entry.key.start) {
            let start = self.tree.with_comments_above(self.tree.line_start(range.start), column);
            self.remove_lines(start..self.tree.next_line(range.end));
            return Ok(());
        }
        match entries.get(position + 1) {
            // `- first: …`: the next key moves up to the dash.
            Some(next) => self.patch(range.start..next.key.start, ""),
            None => {
                return Err(self.tree.refuse(range.start, "the last key behind a dash cannot be taken out"));
            }
        }
        Ok(())
    }

    /// Where the last entry ends, with the comments below it that stand deeper than the keys.
    fn end_with_comments(&self, entries: &[Entry], column: usize) -> usize {
        let tree = self.tree;
        let mut end = entries.last().map_or(0, |entry| entry.range().end);
        loop {
            let next = tree.next_line(end);
            let line = &tree.text[next..tree.line_end(next)];
            let indent = line.len() - line.trim_start().len();
            if next == tree.text.len() || !line.trim_start().starts_with('#') || indent <= column {
                return end;
            }
            end = tree.line_end(next);
        }
    }

    /// Whether every entry but the first has a blank line above it, or above its comments.
    fn blank_lines_between(&self, entries: &[Entry]) -> bool {
        let tree = self.tree;
        entries.len() > 1
            && entries[1..].iter().all(|entry| {
                let start = tree.line_start(entry.key.start);
                let start = tree.with_comments_above(start, tree.column(entry.key.start));
                start > 0 && tree.text[tree.line_start(start - 1)..start].trim().is_empty()
            })
    }

    /// How much deeper the values of these entries stand; as in the rest of the file where none of them shows it.
    fn step_of(&self, entries: &[Entry], column: usize) -> usize {
        let nested = entries.iter().rev().find(|entry| {
            entry.value.is_block() && matches!(entry.value.kind, super::tree::Kind::Map { .. })
        });
        let inner = nested.map(|entry| self.tree.column(entry.value.range.start));
        inner.filter(|inner| *inner > column).map_or(self.layout.step, |inner| inner - column)
    }
}

/// The entries to add: those that are neither there nor taken over as they are.
pub(super) fn added<'a>(
    entries: &'a [Entry],
    before: &'a Entries,
    after: &'a Entries,
) -> impl Iterator<Item = (&'a String, &'a Json)> {
    let own: std::collections::HashSet<&str> =
        entries.iter().filter(|entry| !entry.is_merge()).filter_map(|entry| entry.name.as_deref()).collect();
    after.iter().filter(move |(name, value)| !own.contains(name.as_str()) && before.get(*name) != Some(value))
}

/// A key as its neighbours write theirs.
pub(super) fn key(name: &str, quoted: bool) -> String {
    if quoted { scalar::double_quoted(name) } else { scalar::plain_or_quoted(name, false) }
}

/// A key in braces.
pub(super) fn flow_key(name: &str, quoted: bool) -> String {
    if quoted { scalar::double_quoted(name) } else { scalar::plain_or_quoted(name, true) }
}
