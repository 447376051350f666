//! A source becomes a plan, or findings that point into it: whatever its bytes, and as fast as its length allows.

use std::sync::{Arc, OnceLock};

use oxide_operator::model::{
    OnConflict, OnDrift, Policy, Prune, SecretReference, Severity, SourceDocument, SourceSnapshot,
    StoreSnapshot,
};
use oxide_operator::plan::{Circumstances, Colour, plan};
use oxide_operator::store::{Access, KeyRing};
use oxide_operator::sync::read_source;

use super::world::{World, check_finding, in_proportion};

/// What parts the files of a folder.
const NEXT_FILE: &[u8] = b"\n#### next file\n";
/// So often a short text is repeated: what costs too much in the square shows.
const REPEATED: usize = 64;

pub(crate) fn target(data: &[u8]) {
    read_and_plan(data);
    if data.len() < 1_000 && data.len() % 8 == 3 {
        read_and_plan(&data.repeat(REPEATED));
    }
}

fn read_and_plan(data: &[u8]) {
    static STORE: OnceLock<(StoreSnapshot, Arc<KeyRing>)> = OnceLock::new();
    let (live, keys) = STORE.get_or_init(|| {
        let mut store = World::migrated().store(Access::Read);
        (store.read().expect("readable"), Arc::clone(store.keys()))
    });
    let source = source(data);
    let secrets = |_: &SecretReference| Err("there is no such secret".to_owned());
    let read = in_proportion(data.len(), "reading", || read_source(&source, &secrets, keys));
    let findings = read.as_ref().map_or_else(|findings| &findings[..], |desired| desired.warnings());
    for finding in findings {
        check_finding(finding, text_of(&source, finding));
    }
    let Ok(desired) = read else {
        assert!(findings.iter().any(|finding| finding.severity == Severity::Error), "nothing says why");
        return;
    };
    let source_wins = Policy {
        on_drift: OnDrift::Revert,
        on_conflict: OnConflict::Source,
        prune: Prune::Owned,
        ..Policy::default()
    };
    for policy in [Policy::default(), source_wins] {
        let plan = || plan(&desired, live, &policy, &Circumstances::default());
        let planned = in_proportion(data.len(), "planning", plan);
        let shown = (planned.to_text(Colour::Off), planned.to_markdown());
        assert_eq!(shown.0, plan().to_text(Colour::Off), "a plan says the same thing every time");
        assert!(!shown.0.contains(|char: char| char.is_control() && char != '\n'), "{:?}", shown.0);
        serde_json::to_string(&planned.document()).expect("a plan is a document");
    }
}

fn source(data: &[u8]) -> SourceSnapshot {
    let mut source = SourceSnapshot { origin: "dir:fuzz".to_owned(), documents: Vec::new() };
    let mut rest = data;
    while let Some(at) = rest.windows(NEXT_FILE.len()).position(|window| window == NEXT_FILE) {
        add(&mut source, &rest[..at]);
        rest = &rest[at + NEXT_FILE.len()..];
    }
    add(&mut source, rest);
    source
}

fn add(source: &mut SourceSnapshot, bytes: &[u8]) {
    let name = format!("{}.yaml", source.documents.len());
    source.documents.push(SourceDocument { name, bytes: bytes.to_vec() });
}

fn text_of<'s>(source: &'s SourceSnapshot, finding: &oxide_operator::model::Finding) -> &'s str {
    let Some(at) = &finding.location else { return "" };
    let document = source.documents.iter().find(|document| document.name == at.file);
    let document = document.unwrap_or_else(|| panic!("there is no such file: {finding:?}"));
    std::str::from_utf8(&document.bytes).expect("a place in a file that is text")
}
