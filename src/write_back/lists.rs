//! Lists: the items that both have stay where they are.

use std::ops::Range;

use serde_json::Value as Json;

use super::Refused;
use super::differ::{Differ, Place};
use super::scalar;
use super::tree::Node;

/// Longer lists are compared end to end only: the work grows with the square.
const MAX_COMPARED: usize = 2_000;

/// A stretch in which the two lists differ: these old items become these new ones.
#[derive(Debug, PartialEq, Eq)]
struct Gap {
    old: Range<usize>,
    new: Range<usize>,
}

impl Differ<'_> {
    pub(super) fn list(
        &mut self,
        node: &Node,
        flow: bool,
        items: &[Node],
        before: &[Json],
        after: &[Json],
    ) -> Result<(), Refused> {
        if items.len() != before.len() {
            return Err(self.tree.refuse(node.range.start, "the list cannot be followed item by item"));
        }
        let gaps = gaps(before, after);
        for gap in &gaps {
            for (item, new) in gap.old.clone().zip(gap.new.clone()) {
                let place = self.item_place(node, flow, items, item);
                self.node(&items[item], place, &before[item], &after[new])?;
            }
        }
        if flow { self.flow_list(items, &gaps, after) } else { self.block_list(node, items, &gaps, after) }
    }

    fn item_place(&self, node: &Node, flow: bool, items: &[Node], item: usize) -> Place {
        let column = self.tree.column(node.range.start);
        Place { after: items[item].range.start, column: Some(column), flow, item: true }
    }

    fn flow_list(&mut self, items: &[Node], gaps: &[Gap], after: &[Json]) -> Result<(), Refused> {
        let style = scalar::Style { flow: true, old: None, json: self.layout.json };
        let ranges: Vec<Range<usize>> = items.iter().map(|item| item.range.clone()).collect();
        let mut stays = vec![true; items.len()];
        for gap in gaps {
            for item in gap.old.clone().skip(gap.new.len()) {
                self.may_leave(&items[item], &items[item].range)?;
                stays[item] = false;
            }
        }
        if gaps.iter().all(|gap| gap.new.len() <= gap.old.len()) {
            self.cut_lines(&ranges, &stays);
        } else {
            self.cut(&ranges, &stays);
        }
        for gap in gaps {
            let new: Vec<String> =
                gap.new.clone().skip(gap.old.len()).map(|at| scalar::inline(&after[at], style)).collect();
            if new.is_empty() {
                continue;
            }
            match gap.old.end {
                0 => self.prepend(&ranges[0], &new),
                end => self.append(&ranges[..end], &stays[..end], &new),
            }
        }
        Ok(())
    }

    fn prepend(&mut self, first: &Range<usize>, texts: &[String]) {
        let tree = self.tree;
        let between = if tree.begins_line(first.start) {
            let start = tree.line_start(first.start);
            format!(",{}{}", self.layout.eol, &tree.text[start..first.start])
        } else {
            ", ".to_owned()
        };
        self.patch(first.start..first.start, format!("{}{between}", texts.join(&between)));
    }

    fn block_list(
        &mut self,
        node: &Node,
        items: &[Node],
        gaps: &[Gap],
        after: &[Json],
    ) -> Result<(), Refused> {
        let tree = self.tree;
        let column = tree.column(node.range.start);
        let dashes = self.dashes(node, items)?;
        for gap in gaps {
            for item in gap.old.clone().skip(gap.new.len()) {
                self.may_leave(&items[item], &items[item].range)?;
                if !tree.begins_line(dashes[item]) {
                    return Err(tree.refuse(dashes[item], "the item stands behind another dash"));
                }
                let start = tree.with_comments_above(tree.line_start(dashes[item]), column);
                let end = items[item].range.end.max(dashes[item] + 1);
                self.remove_lines(start..tree.next_line(end));
            }
            let style = scalar::Style::default();
            let spaces = self.spaces_after_dash(items, &dashes);
            let indent = " ".repeat(column);
            let lines: Vec<String> = gap
                .new
                .clone()
                .skip(gap.old.len())
                .map(|at| format!("{indent}-{spaces}{}", scalar::inline(&after[at], style)))
                .collect();
            if lines.is_empty() {
                continue;
            }
            match gap.old.end.checked_sub(1) {
                Some(last) => self.insert_lines(items[last].range.end.max(dashes[last] + 1), &lines),
                None if tree.begins_line(dashes[0]) => {
                    let start = tree.with_comments_above(tree.line_start(dashes[0]), column);
                    let text: String =
                        lines.iter().map(|line| format!("{line}{}", self.layout.eol)).collect();
                    self.patch(start..start, text);
                }
                None => return Err(tree.refuse(dashes[0], "the list begins behind another dash")),
            }
        }
        Ok(())
    }

    fn spaces_after_dash(&self, items: &[Node], dashes: &[usize]) -> String {
        let between = &self.tree.text[dashes[0] + 1..items[0].range.start.max(dashes[0] + 1)];
        let blank = !between.is_empty() && between.bytes().all(|byte| byte == b' ');
        if blank { between.to_owned() } else { " ".to_owned() }
    }

    /// Where the items' dashes stand.
    fn dashes(&self, node: &Node, items: &[Node]) -> Result<Vec<usize>, Refused> {
        let tree = self.tree;
        let column = tree.column(node.range.start);
        let mut dashes = vec![node.range.start];
        for previous in &items[..items.len() - 1] {
            let mut at = previous.range.end.max(dashes.last().map_or(0, |dash| dash + 1));
            let dash = loop {
                let next = tree.next_line(at);
                if next >= tree.text.len() {
                    return Err(tree.refuse(at, "an item without a dash of its own"));
                }
                let line = &tree.text[next..tree.line_end(next)];
                let indent = line.len() - line.trim_start_matches(' ').len();
                if indent == column && line[indent..].starts_with('-') {
                    break next + indent;
                }
                at = next;
            };
            dashes.push(dash);
        }
        Ok(dashes)
    }
}

/// Finds where two lists differ: the longest common subsequence stays.
fn gaps(old: &[Json], new: &[Json]) -> Vec<Gap> {
    let head = old.iter().zip(new).take_while(|(one, two)| one == two).count();
    let tail =
        old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(one, two)| one == two).count();
    let (old_end, new_end) = (old.len() - tail, new.len() - tail);
    let (rows, columns) = (old_end - head, new_end - head);
    if rows == 0 || columns == 0 || rows.max(columns) > MAX_COMPARED {
        let gap = Gap { old: head..old_end, new: head..new_end };
        return if rows + columns == 0 { Vec::new() } else { vec![gap] };
    }
    // lengths[i][j]: the longest common subsequence of old[head + i..] and new[head + j..].
    let mut lengths = vec![vec![0u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            lengths[row][column] = if old[head + row] == new[head + column] {
                lengths[row + 1][column + 1] + 1
            } else {
                lengths[row + 1][column].max(lengths[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut gaps = Vec::new();
    let mut open = (0, 0);
    while row < rows || column < columns {
        if row < rows && column < columns && old[head + row] == new[head + column] {
            push_gap(&mut gaps, head, open, (row, column));
            (row, column) = (row + 1, column + 1);
            open = (row, column);
        } else if column == columns || (row < rows && lengths[row + 1][column] >= lengths[row][column + 1]) {
            row += 1;
        } else {
            column += 1;
        }
    }
    push_gap(&mut gaps, head, open, (rows, columns));
    gaps
}

fn push_gap(gaps: &mut Vec<Gap>, head: usize, open: (usize, usize), end: (usize, usize)) {
    if open != end {
        gaps.push(Gap { old: head + open.0..head + end.0, new: head + open.1..head + end.1 });
    }
}
