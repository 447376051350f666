//! `source accept` and `source restore`: after another program has written the source anew.

use std::path::Path;

use anyhow::Result;

use super::args::{AcceptSource, RestoreSource, Source};
use super::context::{Context, Hint, error_with_help, with_hint};
use super::promote::write;
use super::{Exit, output};
use crate::actions::diff;
use crate::desired::DesiredConfig;
use crate::model::{
    Base, BaseObject, Finding, Policy, Section, Selection, SourceSnapshot, StoreSnapshot, canonical_json,
};
use crate::plan::{self, Circumstances, findings_text};
use crate::promotion::{PromotedKeys, Promotion, Rewritten, Sides, Wanted, promote};
use crate::store::{Access, KeptSource, Store};
use crate::sync::read_source;

pub(super) fn run(context: &Context, args: &Source) -> Result<Exit> {
    match args {
        Source::Accept(args) => accept(context, args),
        Source::Restore(args) => restore(context, args),
    }
}

fn accept(context: &Context, args: &AcceptSource) -> Result<Exit> {
    let (mut store, now) = (context.store(Access::Write)?, context.read_source().map_err(with_hint)?);
    let secrets = context.secrets();
    let read = |source: &SourceSnapshot, store: &Store| read_source(source, &secrets, store.keys());
    let desired = match read(&now, &store) {
        Ok(desired) => desired,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
    if args.as_is {
        let kept = KeptSource::of(&now, crate::desired::known(&now, &desired), store.keys())?;
        match kept.filter(|_| !args.dry_run) {
            Some(kept) => store.keep_source(&kept)?,
            None => {
                return Ok(done(
                    "Nothing was taken: this was a dry run, or the source is too large to be kept.",
                ));
            }
        }
        return Ok(done("Taken as it is: the next pass applies it."));
    }
    let good = known_good(&mut store)?;
    let before = match read(&good, &store) {
        Ok(before) => before,
        Err(findings) => return Ok(output::invalid(&findings)),
    };
    let promotion = extract(&good, &before, &desired, |after| read(after, &store));
    if !promotion.blocked.is_empty() {
        output::note(findings_text(&promotion.blocked).trim_end());
    }
    let after = after(&good, &promotion);
    put(context, &now, &after, args.dry_run)?;
    let taken = output::counted(promotion.promoted.len(), "value");
    let shown: String = promotion.documents.iter().map(diff).collect();
    let last = if args.dry_run {
        "Nothing was written: this was a dry run."
    } else {
        "The rest is as it was before."
    };
    output::result(format!("{shown}{taken} taken over. {last}"));
    Ok(if promotion.blocked.is_empty() { Exit::Ok } else { Exit::Guarded })
}

fn restore(context: &Context, args: &RestoreSource) -> Result<Exit> {
    let (mut store, now) = (context.store(Access::Read)?, context.read_source().map_err(with_hint)?);
    let good = known_good(&mut store)?;
    let changed = put(context, &now, &good, args.dry_run)?;
    Ok(done(&match (changed, args.dry_run) {
        (0, _) => "The source is as it was when it was last good.".to_owned(),
        (count, true) => format!("{} would be put back: this was a dry run.", output::counted(count, "file")),
        (count, false) => format!("{} put back as when last good.", output::counted(count, "file")),
    }))
}

fn known_good(store: &mut Store) -> Result<SourceSnapshot> {
    store.good_source()?.ok_or_else(|| {
        let help = "it is kept once a pass applied it; look for it in Git, or take this one: `source accept --as-is`";
        error_with_help("no earlier source is kept with this database", help)
    })
}

/// What the new source says otherwise than the good one, as edits of the good one: the good one is the source, and the
/// new one takes the place of the database.
fn extract(
    good: &SourceSnapshot,
    before: &DesiredConfig,
    now: &DesiredConfig,
    read: impl Fn(&SourceSnapshot) -> Result<DesiredConfig, Vec<Finding>>,
) -> Promotion {
    let mut store = StoreSnapshot { live: now.configuration().clone(), ..StoreSnapshot::default() };
    store.base = Base { met: true, ..Base::default() };
    for section in Section::ALL {
        for (id, object) in before.configuration().section(section).into_iter().flatten() {
            let agreed = canonical_json(section, object).into();
            let record = BaseObject { agreed, ..BaseObject::default() };
            store.base.objects.entry(section).or_default().insert(id.clone(), record);
        }
    }
    let plan = plan::plan(before, &store, &Policy::default(), &Circumstances::default());
    let all = Section::ALL.map(|section| Selection { section, id: None, field: None });
    let sides = Sides { source: good, desired: before, store: &store, plan: &plan };
    promote(&sides, Wanted { paths: &all, keys: PromotedKeys::Blocked }, read)
}

fn after(good: &SourceSnapshot, promotion: &Promotion) -> SourceSnapshot {
    let mut after = good.clone();
    for document in &promotion.documents {
        after.documents[document.document].bytes.clone_from(&document.after);
    }
    after
}

/// Gives the files of the source the bytes of another one; returns how many change.
fn put(context: &Context, now: &SourceSnapshot, wanted: &SourceSnapshot, dry_run: bool) -> Result<usize> {
    let name = |name: &str| Path::new(name).file_name().map(ToOwned::to_owned);
    let mut documents = Vec::new();
    for (position, document) in wanted.documents.iter().enumerate() {
        let same = now.documents.iter().find(|it| name(&it.name) == name(&document.name));
        let Some(same) = same else {
            return Err(anyhow::anyhow!("{} is gone", document.name)
                .context(Hint("put the file back from Git".into())));
        };
        if same.bytes != document.bytes {
            let (before, after) = (same.bytes.clone(), document.bytes.clone());
            documents.push(Rewritten { document: position, name: same.name.clone(), before, after });
        }
    }
    if !dry_run {
        write(context, &documents)?;
    }
    Ok(documents.len())
}

fn done(text: &str) -> Exit {
    output::result(text);
    Exit::Ok
}
