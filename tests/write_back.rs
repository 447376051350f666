//! Edits of YAML texts, as files: before, edit, after.
//!
//! Each file in `tests/write_back_cases/` holds cases: `=== name [crlf] [bom] [no final newline]`, the text before,
//! `>>> edit` with a line for every edit (`path = JSON`, or `path -` to take it out), and `>>> after` with the text
//! after, or `>>> refused` with the reason. `make bless` rewrites the last part; look at the diff.

#![expect(clippy::disallowed_methods, reason = "the cases are files")]

#[path = "support/python.rs"]
mod python;

use std::fs;
use std::path::{Path, PathBuf};

use oxide_operator::write_back::{Edit, write_back};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

struct Case {
    header: String,
    before: String,
    edits: Vec<String>,
    outcome: String,
}

impl Case {
    fn has(&self, flag: &str) -> bool {
        self.header.contains(flag)
    }

    /// The text as it lies in a file.
    fn text(&self) -> String {
        let mut text = self.before.clone();
        if self.has("[no final newline]") {
            text.pop();
        }
        if self.has("[crlf]") {
            text = text.replace('\n', "\r\n");
        }
        if self.has("[bom]") {
            text.insert(0, '\u{feff}');
        }
        text
    }

    /// A text as it stands in the case.
    fn shown(&self, text: &str) -> String {
        let mut text = text.to_owned();
        if self.has("[bom]") {
            text = text.strip_prefix('\u{feff}').expect("the mark stays").to_owned();
        }
        if self.has("[crlf]") {
            assert_eq!(text.matches('\n').count(), text.matches("\r\n").count(), "{}", self.header);
            text = text.replace("\r\n", "\n");
        }
        if self.has("[no final newline]") {
            assert!(!text.ends_with('\n'), "{}: a final newline appeared", self.header);
            text.push('\n');
        }
        text
    }

    fn edits(&self) -> Vec<Edit> {
        let read = |line: &String| match line.split_once(" = ") {
            Some((path, value)) => edit(
                path,
                Some(serde_json::from_str(value).unwrap_or_else(|error| panic!("{line}: {error}"))),
            ),
            None => edit(line.strip_suffix(" -").expect("an edit"), None),
        };
        self.edits.iter().map(read).collect()
    }

    fn outcome(&self) -> String {
        match write_back(&self.text(), &self.edits()) {
            Ok(after) => format!(">>> after\n{}", self.shown(&after)),
            Err(refused) => format!(">>> refused\n{refused}\n"),
        }
    }
}

fn edit(path: &str, value: Option<Json>) -> Edit {
    Edit { path: path.split('/').map(Box::from).collect(), value }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/write_back_cases");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).expect("there are cases").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    files
}

fn cases(file: &Path) -> Vec<Case> {
    let text = fs::read_to_string(file).expect("text");
    let parts = text.split("=== ").skip(1);
    parts
        .map(|part| {
            let (header, rest) = part.split_once('\n').expect("a text before");
            let (before, rest) = rest.split_once(">>> edit\n").expect("edits");
            let at = rest.find(">>> ").expect("an outcome");
            Case {
                header: header.to_owned(),
                before: before.to_owned(),
                edits: rest[..at].lines().map(str::to_owned).collect(),
                outcome: rest[at..].to_owned(),
            }
        })
        .collect()
}

#[test]
fn every_case_gives_the_text_that_is_expected() {
    let bless = std::env::var_os("OXIDE_BLESS").is_some();
    let (mut count, mut wrong) = (0, Vec::new());
    for file in files() {
        let mut blessed = String::new();
        for case in cases(&file) {
            count += 1;
            let found = case.outcome();
            if bless {
                let edits: String = case.edits.iter().map(|edit| format!("{edit}\n")).collect();
                blessed += &format!("=== {}\n{}>>> edit\n{edits}{found}", case.header, case.before);
            } else if found != case.outcome {
                wrong.push(format!("== {}: expected\n{}-- found\n{found}", case.header, case.outcome));
            }
        }
        if bless {
            fs::write(&file, blessed).expect("writable");
        }
    }
    assert!(count >= 150, "only {count} cases");
    assert!(
        wrong.is_empty(),
        "{}\n{} of {count} cases differ; `make bless` accepts them",
        wrong.join("\n"),
        wrong.len()
    );
}

/// The orchestrator reads with `PyYAML`: what it reads after an edit is what it read before, but for the edit.
#[test]
fn python_reads_every_result_as_it_was_meant() {
    let all: Vec<Json> = files()
        .iter()
        .flat_map(|file| cases(file))
        .filter_map(|case| {
            let after = write_back(&case.text(), &case.edits()).ok()?;
            let edits: Vec<Json> = case
                .edits()
                .iter()
                .map(|edit| json!({"path": edit.path, "value": edit.value, "gone": edit.value.is_none()}))
                .collect();
            Some(json!({"name": case.header, "before": case.text(), "after": after, "edits": edits}))
        })
        .collect();
    assert!(all.len() >= 130, "only {} cases to compare", all.len());
    let wrong = python::run(
        concat!(include_str!("support/put_edit.py"), include_str!("support/compare_edits.py")),
        &Json::Array(all),
    );
    assert_eq!(wrong, json!([]), "PyYAML reads these otherwise");
}

/// Where a text can be written: the document before, and the path of the place, where `*` is the text itself as a key.
const PLACES: [(&str, &str); 14] = [
    ("a: x\n", "a"),
    ("a: 'x'\n", "a"),
    ("a: |\n  x\n", "a"),
    ("a: {b: x}\n", "a/b"),
    ("a: {b: x, c: d}\n", "a/b"),
    ("a: {b: \"x\"}\n", "a/b"),
    ("a: {\n  b: x, # c\n}\n", "a/b"),
    ("a: {c: d}\n", "a/b"),
    ("a:\n  c: d\n", "a/b"),
    ("a:\n  c: d\n", "a/*"),
    ("a: {c: d}\n", "a/*"),
    ("a: {}\n", "a/*"),
    ("{\"a\": {\"c\": \"d\"}}\n", "a/*"),
    ("a:\n  c: d\n", "new/*"),
];

/// Texts of the characters that mean something to a YAML reader, alone, in pairs, and within letters.
fn texts_of_indicators() -> Vec<String> {
    const CHARACTERS: &str = "a ?:-,[]{}#&*!|>'\"%@`\\=<~.0\t\né";
    let pairs = CHARACTERS.chars().flat_map(|one| CHARACTERS.chars().map(move |two| format!("{one}{two}")));
    let all: Vec<String> = CHARACTERS.chars().map(String::from).chain(pairs).collect();
    all.iter().map(|text| format!("x{text}y")).chain(all.iter().cloned()).collect()
}

/// The guard goes by the rules of `PyYAML`: here `PyYAML` itself is asked, about every text in every place, as a value
/// and as an item of a list.
#[test]
fn python_reads_every_text_wherever_it_is_written() {
    let mut cases = Vec::new();
    for text in texts_of_indicators() {
        for (before, path) in PLACES {
            let path: Vec<Box<str>> =
                path.split('/').map(|part| if part == "*" { &text } else { part }.into()).collect();
            for value in [json!(text), json!(["m", text])] {
                let edit = Edit { path: path.clone(), value: Some(value.clone()) };
                let after = write_back(before, &[edit])
                    .unwrap_or_else(|refused| panic!("{before:?} {path:?} {value}: {refused}"));
                cases.push(json!([after, path, value]));
            }
        }
    }
    assert!(cases.len() > 30_000, "only {} cases", cases.len());
    let script = "
wrong = []
for after, path, value in json.load(sys.stdin):
    try:
        found = yaml.safe_load(after)
        for key in path:
            found = found[key]
    except Exception as error:
        found = error
    if found != value:
        wrong.append([after, path, value, str(found)])
print(json.dumps(wrong[:20]))";
    assert_eq!(python::run(script, &Json::Array(cases)), json!([]));
}

#[expect(clippy::struct_excessive_bools, reason = "each varies by itself")]
/// A document of the orchestrator's shape, in one of many layouts, and what stands in it line by line.
#[derive(Clone, Debug)]
struct Layout {
    step: usize,
    dash: usize,
    blank: bool,
    comments: bool,
    crlf: bool,
    flow_lists: bool,
    quote: u8,
    services: Vec<Vec<String>>,
}

fn layouts() -> impl Strategy<Value = Layout> {
    let word = "[a-z][a-z0-9]{0,7}|yes|12|a: b|x #y|é|-|1\\.0";
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let services = prop::collection::vec(prop::collection::vec(word, 1..5), 1..6);
    (1..5usize, 0..3usize, flags, 0..3u8, services).prop_map(|(step, dash, flags, quote, services)| Layout {
        step,
        dash: if dash == 2 { 2 } else { dash * step },
        blank: flags.0,
        comments: flags.1,
        crlf: flags.2,
        flow_lists: flags.3,
        quote,
        services,
    })
}

impl Layout {
    fn quoted(&self, text: &str) -> String {
        match self.quote {
            0 if text.starts_with(|char: char| char.is_ascii_lowercase())
                && text != "yes"
                && !text.contains([':', '#']) =>
            {
                text.to_owned()
            }
            1 => format!("'{text}'"),
            _ => format!("\"{text}\""),
        }
    }

    fn text(&self) -> String {
        let (one, two) = (" ".repeat(self.step), " ".repeat(2 * self.step));
        let dashes = " ".repeat(2 * self.step + self.dash);
        let mut lines = vec!["# head".to_owned(), "services:".to_owned()];
        for (number, values) in self.services.iter().enumerate() {
            if self.blank && number > 0 {
                lines.push(String::new());
            }
            if self.comments {
                lines.push(format!("{one}# service {number}"));
            }
            lines.push(format!("{one}s{number}:{}", if self.comments { "  # name" } else { "" }));
            for (field, value) in values.iter().enumerate() {
                let comment = if self.comments && field % 2 == 0 {
                    format!("   # field {field}")
                } else {
                    String::new()
                };
                lines.push(format!("{two}f{field}: {}{comment}", self.quoted(value)));
            }
            if self.flow_lists {
                let items: Vec<String> = values.iter().map(|value| self.quoted(value)).collect();
                lines.push(format!("{two}list: [{}]", items.join(", ")));
            } else {
                lines.push(format!("{two}list:"));
                lines.extend(values.iter().map(|value| format!("{dashes}- {}", self.quoted(value))));
            }
        }
        lines.push("# tail".to_owned());
        lines.push("logging: {level: INFO}".to_owned());
        let eol = if self.crlf { "\r\n" } else { "\n" };
        lines.iter().map(|line| format!("{line}{eol}")).collect()
    }
}

/// Whether every line of `part` stands in `whole`, in the same order.
fn is_part_of(part: &str, whole: &str) -> bool {
    let mut lines = whole.split_inclusive('\n');
    part.split_inclusive('\n').all(|line| lines.any(|other| other == line))
}

fn value(text: &str) -> Json {
    oxide_operator::desired::value_of(text).expect("valid")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: Some(Box::new(prop::test_runner::FileFailurePersistence::WithSource("regressions"))), ..ProptestConfig::default() })]

    /// A changed leaf changes its line and no other; what stands around the value on that line stays.
    #[test]
    fn a_changed_leaf_changes_nothing_else(layout in layouts(), pick in any::<prop::sample::Index>(), new in "\\PC{0,12}|yes|0x1F|a\tb|a, b") {
        let before = layout.text();
        let service = pick.index(layout.services.len());
        let field = pick.index(layout.services[service].len());
        let path = format!("services/s{service}/f{field}");
        let after = write_back(&before, &[edit(&path, Some(json!(new)))]).expect("a plain edit");
        prop_assert_eq!(&value(&after)["services"][format!("s{service}")][format!("f{field}")], &json!(new));
        let (old, now): (Vec<&str>, Vec<&str>) = (before.split('\n').collect(), after.split('\n').collect());
        prop_assert_eq!(old.len(), now.len());
        let changed: Vec<usize> = (0..old.len()).filter(|line| old[*line] != now[*line]).collect();
        prop_assert!(changed.len() <= 1, "{}", after);
        for line in changed {
            let key = format!("{}f{field}: ", " ".repeat(2 * layout.step));
            prop_assert!(old[line].starts_with(&key) && now[line].starts_with(&key));
            let comment = old[line].find("   # field").map_or("", |at| &old[line][at..]);
            prop_assert!(now[line].ends_with(comment));
        }
    }

    /// What is added leaves every line that was there.
    #[test]
    fn an_added_part_leaves_every_line(layout in layouts(), pick in any::<prop::sample::Index>(), text in "\\PC{0,12}", whole in any::<bool>()) {
        let before = layout.text();
        let service = pick.index(layout.services.len());
        let edits = if whole {
            vec![edit("services/new", Some(json!({"f0": text, "list": [text, "b"]})))]
        } else {
            vec![edit(&format!("services/s{service}/new"), Some(json!(text)))]
        };
        let after = write_back(&before, &edits).expect("a plain addition");
        prop_assert!(is_part_of(&before, &after), "{}", after);
    }

    /// What is taken out leaves every other line.
    #[test]
    fn a_removed_part_leaves_the_rest(layout in layouts(), pick in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let before = layout.text();
        let service = pick.index(layout.services.len());
        let path = if whole { format!("services/s{service}") } else { format!("services/s{service}/f0") };
        let after = write_back(&before, &[edit(&path, None)]).expect("a plain removal");
        if whole && layout.services.len() == 1 {
            prop_assert_eq!(&value(&after)["services"], &json!({}));
        } else {
            prop_assert!(is_part_of(&after, &before), "{}", after);
        }
    }

    /// Lists go from any items to any items.
    #[test]
    fn a_list_becomes_any_other(layout in layouts(), pick in any::<prop::sample::Index>(), items in prop::collection::vec("[a-c]|yes|a, b|\\PC{0,6}", 0..6)) {
        let before = layout.text();
        let service = pick.index(layout.services.len());
        let after = write_back(&before, &[edit(&format!("services/s{service}/list"), Some(json!(items)))]).expect("a plain list");
        prop_assert_eq!(&value(&after)["services"][format!("s{service}")]["list"], &json!(items));
    }

    /// No text makes the editor panic, and nothing that it accepts reads as anything else than what was meant.
    #[test]
    fn any_text_is_edited_exactly_or_refused(text in "[a-c:{}\\[\\],&*|>#'\" \n-]{0,60}", new in "\\PC{0,4}") {
        if let Ok(after) = write_back(&text, &[edit("a/b", Some(json!(new)))]) {
            prop_assert_eq!(&value(&after)["a"]["b"], &json!(new));
        }
    }
}
