//! Collections in braces and brackets.

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::Refused;
use super::differ::{Differ, Place};
use super::maps::{added, flow_key};
use super::scalar;
use super::tree::{Entry, Kind, Node};

impl Differ<'_> {
    pub(super) fn flow_map(
        &mut self,
        node: &Node,
        entries: &[Entry],
        before: &Map<String, Json>,
        after: &Map<String, Json>,
    ) -> Result<(), Refused> {
        let stays = self.staying(entries, before, after)?;
        if !stays.contains(&true) {
            let place = Place { after: node.range.start, column: None, flow: true, item: false };
            self.may_leave(node, &node.range)?;
            let style = scalar::Style { flow: place.flow, old: None, json: self.layout.json };
            let text = scalar::inline(&Json::Object(after.clone()), style);
            self.patch(node.range.clone(), text);
            return Ok(());
        }
        let ranges: Vec<Range<usize>> = entries.iter().map(Entry::range).collect();
        let quoted = entries.iter().all(|entry| entry.quoted);
        let style = scalar::Style { flow: true, old: None, json: self.layout.json };
        let texts: Vec<String> = added(entries, before, after)
            .map(|(name, value)| format!("{}: {}", flow_key(name, quoted), scalar::inline(value, style)))
            .collect();
        if texts.is_empty() {
            self.cut_lines(&ranges, &stays)
        } else {
            self.cut(&ranges, &stays)
        }
        for (entry, stays) in entries.iter().zip(&stays) {
            let Some(name) = entry.name.as_ref().filter(|_| !entry.is_merge()) else { continue };
            if !stays {
                self.may_leave(&entry.value, &entry.range())?;
            } else if let (Some(old), Some(new)) = (before.get(name), after.get(name))
                && old != new
            {
                let after = self.after_colon(entry)?;
                let place = Place { after, column: None, flow: true, item: false };
                self.flow_node(&entry.value, place, old, new)?;
            }
        }
        self.append(&ranges, &stays, &texts);
        Ok(())
    }

    /// A value in braces or brackets becomes another one there.
    pub(super) fn flow_node(
        &mut self,
        node: &Node,
        place: Place,
        old: &Json,
        new: &Json,
    ) -> Result<(), Refused> {
        let both =
            matches!((old, new), (Json::Object(_), Json::Object(_)) | (Json::Array(_), Json::Array(_)));
        let filled = |json: &Json| match json {
            Json::Object(entries) => !entries.is_empty(),
            Json::Array(items) => !items.is_empty(),
            _ => true,
        };
        if both && filled(old) && filled(new) && !matches!(node.kind, Kind::Alias) {
            return self.node(node, place, old, new);
        }
        self.node(node, Place { column: Some(0), ..place }, old, new)
    }

    /// Takes parts out as `cut` does; the last ones with their lines, when those hold nothing else, so that each comment
    /// stays with what it is about.
    pub(super) fn cut_lines(&mut self, ranges: &[Range<usize>], stays: &[bool]) {
        let staying = stays.iter().rposition(|stays| *stays).map_or(0, |last| last + 1);
        if staying > 0 && staying < ranges.len() && self.remove_tail(&ranges[staying - 1], &ranges[staying..])
        {
            self.cut(&ranges[..staying], &stays[..staying]);
        } else {
            self.cut(ranges, stays);
        }
    }

    /// Takes the last parts out with their lines; does nothing where something else stands on these.
    fn remove_tail(&mut self, before: &Range<usize>, tail: &[Range<usize>]) -> bool {
        let tree = self.tree;
        let (start, end) = (tail[0].start, tail[tail.len() - 1].end);
        let behind = tree.text[end..tree.line_end(end)].trim_start();
        let rest = behind.strip_prefix(',').unwrap_or(behind).trim_start();
        let between = &tree.text[before.end..start];
        let blanks = between.len() - between.trim_start_matches([' ', '\t']).len();
        let whole_lines = tree.begins_line(start) && (rest.is_empty() || rest.starts_with('#'));
        if !whole_lines || !between[blanks..].starts_with(',') {
            return false;
        }
        if !behind.starts_with(',') {
            self.patch(before.end..before.end + blanks + 1, "");
        }
        self.remove_lines(tree.line_start(start)..tree.next_line(end));
        true
    }

    /// Takes parts out with the commas between them.
    pub(super) fn cut(&mut self, ranges: &[Range<usize>], stays: &[bool]) {
        let mut position = 0;
        while position < ranges.len() {
            if stays[position] {
                position += 1;
                continue;
            }
            let first = position;
            while position < ranges.len() && !stays[position] {
                position += 1;
            }
            match ranges.get(position) {
                Some(next) => self.patch(ranges[first].start..next.start, ""),
                None if first > 0 => self.patch(ranges[first - 1].end..ranges[position - 1].end, ""),
                None => {}
            }
        }
    }

    /// Adds parts behind the last one, on lines of their own where the others have such.
    pub(super) fn append(&mut self, ranges: &[Range<usize>], stays: &[bool], texts: &[String]) {
        let Some(last) = ranges.last().filter(|_| !texts.is_empty()) else { return };
        let tree = self.tree;
        let eol = self.layout.eol;
        let rest = tree.text[last.end..tree.line_end(last.end)].trim_start();
        let comma = rest.starts_with(',');
        let behind = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        let lone_line = tree.begins_line(last.start) && (behind.is_empty() || behind.starts_with('#'));
        // Where the last part leaves with the comma before it, the comma that follows belongs to the one before.
        let leaves = stays.last() == Some(&false);
        if !lone_line || leaves {
            self.patch(last.end..last.end, format!(", {}", texts.join(", ")));
            return;
        }
        if !comma {
            self.patch(last.end..last.end, ",");
        }
        let start = tree.line_start(last.start);
        let indent = &tree.text[start..last.start];
        let joined = texts.join(&format!(",{eol}{indent}"));
        let end = if comma { "," } else { "" };
        let next = tree.next_line(last.end);
        self.patch(next..next, format!("{indent}{joined}{end}{eol}"));
    }
}
