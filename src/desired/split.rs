//! Large files on both cores: the text is cut between two entries of a section, and both halves are read at once.
//!
//! A cut is only ever an optimisation. It is made where a valid file cannot continue a value (a key at exactly
//! the column of the section's entries); whenever either half yields a finding, the text is read again in one
//! piece, so that messages and acceptance never depend on the cut.

use std::ops::Range;

use super::ResolveSecrets;
use super::document::{self, Document};
use crate::model::{Fingerprinter, Section};

/// Smaller texts are read on one core: a thread costs more than it saves.
const MIN_BYTES: usize = 256 << 10;

/// A text cut in three: up to an entry, the rest of that entry's section, the sections after it.
#[derive(Debug, PartialEq, Eq)]
struct Cut {
    section: Section,
    head: Range<usize>,
    entries: Range<usize>,
    tail: Range<usize>,
}

/// Reads a document.
pub(super) fn read(
    text: &str,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Document {
    cut(text)
        .and_then(|cut| read_cut(text, &cut, secrets, fingerprinter))
        .unwrap_or_else(|| document::read(text, secrets, fingerprinter))
}

fn read_cut(
    text: &str,
    cut: &Cut,
    secrets: &(dyn ResolveSecrets + Sync),
    fingerprinter: &Fingerprinter,
) -> Option<Document> {
    let (mut head, later) = std::thread::scope(|scope| {
        let later = scope.spawn(|| {
            let entries = &text[cut.entries.clone()];
            let mut entries = document::read_entries(entries, cut.section, secrets, fingerprinter);
            entries.section_starts.clear();
            let mut tail = document::read(&text[cut.tail.clone()], secrets, fingerprinter);
            entries.shift(cut.entries.start);
            tail.shift(cut.tail.start);
            entries.append(tail);
            entries
        });
        (document::read(&text[cut.head.clone()], secrets, fingerprinter), later.join().ok())
    });
    let later = later?;
    if head.anchored && later.anchored {
        // Each half by itself cannot tell that the other has an anchor of the same name.
        return None;
    }
    head.section_starts.pop();
    head.append(later);
    head.findings.is_empty().then_some(head)
}

/// Finds a place near the middle of `text` to cut it; `None` when it is small or not plainly laid out.
fn cut(text: &str) -> Option<Cut> {
    if text.len() < MIN_BYTES {
        return None;
    }
    let middle = text[..floor(text, text.len() / 2)].rfind('\n')? + 1;
    let (section, header) = section_above(text, middle)?;
    let indent = indent_of_first_entry(text, header)?;
    let at = lines(text, middle).find(|line| starts_an_entry(&text[line.clone()], indent))?.start;
    let end = lines(text, middle)
        .find(|line| starts_a_section(&text[line.clone()]))
        .map_or(text.len(), |line| line.start);
    // The section that was found must still be the one that holds the entry.
    (at < end).then_some(Cut { section, head: 0..at, entries: at..end, tail: end..text.len() })
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Returns the ranges of the lines from `start` on, without their line ends.
fn lines(text: &str, start: usize) -> impl Iterator<Item = Range<usize>> {
    let mut next = start;
    std::iter::from_fn(move || {
        (next < text.len()).then(|| {
            let end = text[next..].find('\n').map_or(text.len(), |at| next + at);
            let line = next..end;
            next = end + 1;
            line
        })
    })
}

/// Returns the section whose block mapping encloses `at`, and where the line after its key starts.
fn section_above(text: &str, at: usize) -> Option<(Section, usize)> {
    let mut end = at;
    while end > 0 {
        let start = text[..end - 1].rfind('\n').map_or(0, |at| at + 1);
        let line = &text[start..end - 1];
        if starts_a_section(line) {
            let section = Section::named(line.trim_end().strip_suffix(':')?)?;
            return (section != Section::Execution).then_some((section, end));
        }
        end = start;
    }
    None
}

/// A line at column 0 that is not a comment: a key, a document marker, a directive.
fn starts_a_section(line: &str) -> bool {
    !line.is_empty() && !line.starts_with([' ', '#', '\t', '\r'])
}

fn indent_of_first_entry(text: &str, header: usize) -> Option<usize> {
    let line = lines(text, header).map(|line| &text[line]).find(|line| {
        let line = line.trim();
        !line.is_empty() && !line.starts_with('#')
    })?;
    let indent = line.len() - line.trim_start_matches(' ').len();
    starts_an_entry(line, indent).then_some(indent).filter(|indent| *indent > 0)
}

fn starts_an_entry(line: &str, indent: usize) -> bool {
    let Some((blanks, rest)) = line.split_at_checked(indent) else { return false };
    blanks.bytes().all(|byte| byte == b' ')
        && rest.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_')
        && rest.trim_end().ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::NoSecrets;

    fn services(count: usize) -> String {
        (0..count).fold(String::from("services:\n"), |text, number| {
            text + &format!("  svc_{number:05}:\n    type: cli\n    executable: run-{number}\n    models:\n    - m{number}\n")
        })
    }

    fn both_ways(text: &str) -> (Document, Document) {
        let fingerprinter = Fingerprinter::derived_from(b"k");
        let cut = cut(text).expect("large enough to be cut");
        let halves = read_cut(text, &cut, &NoSecrets, &fingerprinter).expect("a valid file");
        (halves, document::read(text, &NoSecrets, &fingerprinter))
    }

    #[test]
    fn both_halves_together_say_what_the_whole_says() {
        for count in [6_000, 6_001] {
            let text =
                services(count) + "routing_rules:\n  a:\n    primary: svc_00001\nlogging:\n  level: INFO\n";
            let (halves, whole) = both_ways(&text);
            assert_eq!(format!("{halves:?}"), format!("{whole:?}"));
        }
    }

    #[test]
    fn a_cut_inside_the_rules_reads_the_same() {
        let rules = (0..9_000).fold(String::from("routing_rules:\n"), |text, number| {
            text + &format!("  task_{number:05}:\n    primary: svc_00001\n    timeout_seconds: {number}\n")
        });
        let (halves, whole) = both_ways(&(services(3) + &rules));
        assert_eq!(format!("{halves:?}"), format!("{whole:?}"));
    }

    #[test]
    fn a_fault_in_either_half_is_reported_as_for_the_whole() {
        let text = services(6_000).replace("executable: run-5999", "executible: run-5999");
        let fingerprinter = Fingerprinter::derived_from(b"k");
        let read = read(&text, &NoSecrets, &fingerprinter);
        let whole = document::read(&text, &NoSecrets, &fingerprinter);
        assert_eq!(format!("{:?}", read.findings), format!("{:?}", whole.findings));
        assert_eq!(read.findings.located("c.yaml", &text).shown().len(), 2);
    }

    #[test]
    fn an_anchor_used_across_the_cut_is_still_found() {
        let text = services(6_000).replacen("run-1\n", "&e run-1\n", 1).replace("run-5990\n", "*e\n");
        let read = read(&text, &NoSecrets, &Fingerprinter::derived_from(b"k"));
        assert!(read.findings.is_empty(), "{:?}", read.findings);
    }
}
