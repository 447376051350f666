//! `source accept` and `source restore`: after another program has written the source anew.

use std::path::Path;

use anyhow::Result;

use super::args::{AcceptSource, RestoreSource, Source};
use super::context::{Context, Hint, error_with_help, with_hint};
use super::output::Invalid;
use super::promote::write;
use super::{Exit, output};
use crate::actions::{decided, diff};
use crate::desired::DesiredConfig;
use crate::model::{
    Base, BaseObject, ConfigPath, Decision, DecisionKind, Finding, Object, PathPattern, Policy, Section,
    Selection, SourceSnapshot, StoreSnapshot, Value, canonical_json, mark, shown_path,
};
use crate::plan::{self, Circumstances, findings_text, update};
use crate::promotion::{PromotedKeys, Promotion, Rewritten, Sides, Wanted, promote};
use crate::store::{Access, Decided, KeptSource, Store, files};
use crate::sync::{Edit, Mode, edit, read_source};

pub(super) fn run(context: &Context, args: &Source) -> Result<Exit> {
    match args {
        Source::Accept(args) => accept(context, args),
        Source::Restore(args) => restore(context, args),
        Source::List => list(context),
    }
}

fn accept(context: &Context, args: &AcceptSource) -> Result<Exit> {
    let (mut store, now) = (context.store(Access::Write)?, context.read_source().map_err(with_hint)?);
    let secrets = context.secrets();
    let read = |source: &SourceSnapshot, store: &Store| read_source(source, &secrets, store.keys());
    let desired = read(&now, &store).map_err(Invalid)?;
    let live = store.read()?;
    store.keys().ensure_fits(&live)?;
    if args.as_is {
        let known = crate::desired::known(&now, &desired);
        let kept = KeptSource::of(&now, known, store.keys(), crate::desired::may_hold_secrets)?;
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
    let before = read(&good, &store).map_err(Invalid)?;
    let promotion = extract(&good, &before, &desired, |after| read(after, &store));
    let keys = typed_keys(&before, &desired, &store.read()?);
    let blocked: Vec<Finding> = promotion
        .blocked
        .iter()
        .filter(|finding| !keys.iter().any(|key| key.is_of(finding)))
        .cloned()
        .collect();
    if !blocked.is_empty() {
        output::note(findings_text(&blocked).trim_end());
        let help =
            "correct the file by hand; or take it whole with --as-is, or put it back with `source restore`";
        output::error("not everything in it can be taken over, so nothing was changed", Some(help));
        return Ok(Exit::Guarded);
    }
    let changed = changes(&now, &after(&good, &promotion))?;
    let shown: String = promotion.documents.iter().map(diff).collect();
    let mut text = format!("{shown}{} taken over.", output::counted(promotion.promoted.len(), "value"));
    for key in &keys {
        text.push_str(&format!("\n{} goes into the database, encrypted, and stays there.", key.path()));
    }
    if args.dry_run {
        output::result(format!("{text} Nothing was written: this was a dry run."));
        return Ok(Exit::Ok);
    }
    let live = store.read()?;
    store_keys(context, &mut store, &keys, &before)?;
    // The keys first: whatever ends this program, they are in the database or still in the file.
    if let Err(error) = put(context, &changed) {
        take_back_keys(context, &mut store, &keys, &live)?;
        return Err(error);
    }
    output::result(format!("{text} The rest is as it was before."));
    Ok(Exit::Ok)
}

/// An API key that somebody typed into the page of the orchestrator, which writes it into the YAML in plain text.
struct TypedKey {
    id: Box<str>,
    object: Object,
}

impl TypedKey {
    fn path(&self) -> ConfigPath {
        let field = Section::Services.field("api_key");
        ConfigPath { section: Section::Services, id: self.id.clone(), field }
    }

    fn is_of(&self, finding: &Finding) -> bool {
        finding.path.as_deref() == Some(&*self.path().to_string())
    }

    /// That it stays in the database, whatever is otherwise done about edits there.
    fn accepted(&self, before: &DesiredConfig, actor: &str) -> Decision {
        let path = self.path();
        let declared = before.configuration().get(Section::Services, &self.id);
        let kind = DecisionKind::Accept {
            live: mark(&path, Some(&self.object)),
            desired: mark(&path, declared.map(|object| &**object)),
        };
        let why = (actor, "typed into the orchestrator's page");
        decided(kind, Some(PathPattern::exactly(&path)), why, super::decide::now(), None)
    }
}

/// The API keys that the new source has and the good one has not, of services that the database has.
fn typed_keys(before: &DesiredConfig, now: &DesiredConfig, live: &StoreSnapshot) -> Vec<TypedKey> {
    let Some(field) = Section::Services.field("api_key") else { return Vec::new() };
    let services = now.configuration().section(Section::Services).into_iter().flatten();
    services
        .filter_map(|(id, service)| {
            let key = service.get(field).filter(|key| matches!(key, Value::Secret(_)))?;
            let known = before.configuration().get(Section::Services, id).and_then(|it| it.get(field));
            let typed = known.is_none_or(|known| !known.same(key, Section::Services.spec(field).kind));
            live.live.get(Section::Services, id).filter(|_| typed)?;
            let mut object = Object::default();
            object.set(field, key.clone());
            Some(TypedKey { id: id.clone(), object })
        })
        .collect()
}

/// Puts typed API keys into the database: backed up, in one transaction, read back.
fn store_keys(context: &Context, store: &mut Store, keys: &[TypedKey], before: &DesiredConfig) -> Result<()> {
    let actor = context.actor();
    let decide: Vec<Decision> = keys.iter().map(|key| key.accepted(before, &actor)).collect();
    set_keys(context, store, "source accept", &decide, keys.iter().map(|key| (&*key.id, key.object.clone())))
}

/// Gives the services the API keys that they had: the source could not be written.
fn take_back_keys(
    context: &Context,
    store: &mut Store,
    keys: &[TypedKey],
    earlier: &StoreSnapshot,
) -> Result<()> {
    let field = Section::Services.field("api_key");
    let had = keys.iter().filter_map(|key| {
        let mut object = Object::default();
        let value = earlier.live.get(Section::Services, &key.id)?.get(field?)?.clone();
        object.set(field?, value);
        Some((&*key.id, object))
    });
    set_keys(context, store, "source accept: taken back, the source was not written", &[], had)?;
    let forget = keys.iter().map(|key| ("accept".to_owned(), key.path().to_string())).collect();
    Ok(store.decide(&Decided { decide: Vec::new(), forget })?)
}

fn set_keys<'a>(
    context: &Context,
    store: &mut Store,
    reason: &str,
    decide: &[Decision],
    keys: impl Iterator<Item = (&'a str, Object)>,
) -> Result<()> {
    let keys: Vec<(&str, Object)> = keys.collect();
    if keys.is_empty() {
        return Ok(());
    }
    let actor = context.actor();
    let how = Edit { mode: Mode::Apply, actor: &actor, reason, origin: "command line", decide };
    edit(store, &how, |live, _| {
        let steps = keys.iter().filter_map(|(id, object)| {
            update(Section::Services, id, object, live.live.get(Section::Services, id)?)
        });
        Ok(steps.collect())
    })?;
    Ok(())
}

fn restore(context: &Context, args: &RestoreSource) -> Result<Exit> {
    let (mut store, now) = (context.store(Access::Read)?, context.read_source().map_err(with_hint)?);
    let good = known_good(&mut store)?;
    let changed = changes(&now, &good)?;
    if !args.dry_run {
        put(context, &changed)?;
    }
    let shown: String = changed.iter().map(diff).collect();
    Ok(done(&match (changed.len(), args.dry_run) {
        (0, _) => "The source is as it was when it was last good.".to_owned(),
        (count, true) => {
            format!("{shown}{} would be put back: this was a dry run.", output::counted(count, "file"))
        }
        (count, false) => format!("{} put back as when last good.", output::counted(count, "file")),
    }))
}

/// Lists the files that `source accept` and `source restore` replaced.
fn list(context: &Context) -> Result<Exit> {
    let folder = context.source_path().map(|_| context.source.folder())?;
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut kept: Vec<String> = names
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains(REPLACED)))
        .map(|path| path.display().to_string())
        .collect();
    kept.sort();
    Ok(done(&if kept.is_empty() { "No file was replaced.".to_owned() } else { kept.join("\n") }))
}

/// What stands in the name of a file that was replaced, between its own name and the time.
pub(super) const REPLACED: &str = ".replaced.";

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

/// The files of the source that another one has otherwise.
fn changes(now: &SourceSnapshot, wanted: &SourceSnapshot) -> Result<Vec<Rewritten>> {
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
    Ok(documents)
}

/// Writes the files, and keeps what they replace beside them, for this user only.
fn put(context: &Context, documents: &[Rewritten]) -> Result<()> {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%S%3fZ").to_string();
    let mut kept = Vec::new();
    for document in documents {
        let path = std::path::PathBuf::from(format!("{}{REPLACED}{now}", document.name));
        files::write_private(&path, &document.before)?;
        kept.push(path);
    }
    write(context, documents).inspect_err(|_| {
        // Nothing was replaced.
        for path in &kept {
            let _ = std::fs::remove_file(path);
        }
    })?;
    for path in &kept {
        output::note(format!("What was there is kept as {}", shown_path(path)));
    }
    Ok(())
}

fn done(text: &str) -> Exit {
    output::result(text);
    Exit::Ok
}
