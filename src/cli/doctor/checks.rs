//! The checks, each by itself: one that fails stops no other.

use std::path::{Path, PathBuf};

use super::machine;
use super::{Check, Status};
use crate::cli::context::Context;
use crate::cli::status::counts;
use crate::cli::{holder, key};
use crate::consumer::ConsumerError;
use crate::guide::{Backend, load};
use crate::model::{Configuration, Policy, shown_path};
use crate::place::Place;
use crate::plan::{Class, findings_text};
use crate::report::{Outcome, SyncReport};
use crate::source::SourceError;
use crate::store::{
    Access, KEY_FILE, KEY_VARIABLE, KeyRing, KeySources, Revision, RevisionId, Store, StoreError, Verdict,
    agent_of, check_backup, files,
};
use crate::sync::Pass;

/// Runs every check.
pub(super) fn all(context: &Context) -> Vec<Check> {
    let mut store = match context.store(Access::Read) {
        Ok(store) => store,
        Err(error) => {
            let key_file = context.keys.file.clone().unwrap_or_else(|| context.db.with_file_name(KEY_FILE));
            let mut checks = machine::permissions(&context.db, context.backup_folder().path(), &key_file);
            checks.retain(|check| check.status == Status::Problem);
            checks.push(unusable(context, &error));
            return checks;
        }
    };
    let database = store.path().to_owned();
    let place = Place::of(&database);
    let mut checks = vec![machine::place(&database, place)];
    checks.extend(machine::permissions(&database, store.backup_folder(), store.keys().file()));
    checks.push(machine::room(files::folder_of(&database)));
    checks.extend(backups_in_the_way(store.backup_folder()));
    checks.extend(backup_room(store.backups_on_request_fill()));
    checks.push(machine::leftovers(&database, store.backup_folder()));
    checks.extend(database.parent().filter(|folder| folder.is_dir()).map(machine::events));
    checks.extend(silent(context));
    checks.extend(match agent_of(&database) {
        Ok(agent) => agent.map(|agent| Check::fine("agent", format!("{agent} holds the database"))),
        Err(error) => {
            let why = "Whether an agent holds the database cannot be told, so commands that write by the source refuse.";
            Some(Check::problem("agent", error.to_string(), why))
        }
    });
    if let Err(error @ StoreError::Missing { .. }) = store.ensure_present() {
        let check = Check::problem(
            "database",
            error.to_string(),
            "Nothing is written until it is back, or a new one is begun with `--fresh`; the backups stay.",
        );
        checks.push(match &error {
            StoreError::Missing { backup, .. } => {
                check.mend(format!("oxide-operator backup restore {}", machine::quoted_text(backup)))
            }
            _ => check,
        });
        checks.push(source(context));
        return checks;
    }
    if !store.exists() {
        let why = "The orchestrator uses its YAML until there is one.";
        let what = format!("{} does not exist", shown_path(&database));
        checks.push(Check::warning("database", what, why).mend("oxide-operator migrate"));
        checks.push(source(context));
        return checks;
    }
    let mut asked = None;
    match store.read() {
        Ok(live) => {
            checks.push(sound(&mut store));
            checks.push(match key::other_key(context, &mut store, &live) {
                Ok(Some(other)) => key_elsewhere(&other),
                _ => machine::key(store.keys(), &live),
            });
            checks.extend(store.unfinished_rotation().map(rotation));
            if place.suits_a_database() {
                checks.push(lock(context, &database));
            }
            checks.push(machine::clock(store.newest_time().ok().flatten()));
            checks.push(backup(&mut store));
            // Under a wrong key nothing can be compared, and that is said already.
            if !live.key_is_wrong() {
                checks.push(sides(context, &mut store));
            }
            asked = consumer(context, &live.live, store.keys());
        }
        Err(error) => {
            checks.push(unreadable(&error, &database));
            checks.push(source(context));
        }
    }
    checks.push(orchestrator(context));
    checks.extend(asked);
    checks
}

/// The database may not be opened where it lies, or the key is none.
fn unusable(context: &Context, error: &anyhow::Error) -> Check {
    let store = error.downcast_ref::<StoreError>();
    let hint = store.and_then(StoreError::hint).unwrap_or_default();
    let is_key = matches!(store, Some(StoreError::BadKey { .. }));
    if is_key && let Some(check) = key_beside(context, error) {
        return check;
    }
    let check = if is_key { "key" } else { "place" };
    Check::problem(check, error.to_string(), format!("Nothing else can be looked at: {hint}."))
}

/// What is in the variable is no key, and the key file opens what is stored.
fn key_beside(context: &Context, error: &anyhow::Error) -> Option<Check> {
    context.keys.environment.as_ref()?;
    let keys = KeySources { environment: None, ..context.keys.clone() };
    let mut store = Store::at(&context.db, Access::Read, &keys).ok()?;
    let live = store.read().ok()?;
    if live.tokens == 0 || live.undecryptable > 0 {
        return None;
    }
    let why = format!(
        "{} opens every stored API key: unset the variable, here and where the orchestrator is started.",
        store.keys().origin()
    );
    Some(Check::problem("key", error.to_string(), why).mend(format!("unset {KEY_VARIABLE}")))
}

fn unreadable(error: &StoreError, database: &Path) -> Check {
    let what = error.to_string();
    if error.is_corruption() {
        let why = "SQLite cannot make sense of the file. `apply` keeps it under quarantine/ and restores the newest good backup.";
        return Check::problem("database", what, why).mend("oxide-operator apply");
    }
    let hint = match crate::cli::owner::around_database(database) {
        Some(obstacle) => format!("{}. {}", obstacle.what, obstacle.help),
        None => format!("{}.", error.hint().unwrap_or("see the message")),
    };
    Check::problem("database", what, format!("It cannot be read: {hint}"))
}

/// Whether the next write would find the database sound, as its backup must be.
fn sound(store: &mut Store) -> Check {
    match store.check_soundness() {
        Ok(()) => Check::fine("database", "it can be read, and is sound"),
        Err(error) if !error.is_corruption() => {
            let why = "Nothing can be written: a backup of it would fail its check. Mend the row that is named; or stop the orchestrator and restore a good backup, which then takes the place of the database: `backup check` says which can be, `backup restore NAME` restores it.";
            Check::problem("database", error.to_string(), why).mend("oxide-operator backup check")
        }
        Err(error) => {
            let why = "Nothing can be written: a backup of it would fail its check. `apply` keeps it under quarantine/ and restores the newest good backup; `backup check` says which others can be restored, and `backup restore NAME` restores that one. Stop the orchestrator first.";
            Check::problem("database", error.to_string(), why).mend("oxide-operator apply")
        }
    }
}

/// What of the source, and of the secret files that it names, `run` has to look at by the clock.
fn silent(context: &Context) -> Vec<Check> {
    let Ok(source) = context.read_source() else { return Vec::new() };
    let secrets = context.source.secret_files(&source);
    crate::source::silent(&context.source, &secrets).iter().map(machine::silent).collect()
}

/// The right key is there, and another one is used.
fn key_elsewhere(other: &key::KeyElsewhere) -> Check {
    let why = "With the key that is used now the orchestrator cannot read them, and falls back to its YAML as a whole. Do the same where the orchestrator is started; nothing is lost.";
    let check = Check::problem("key", &*other.what, why);
    other.commands.iter().fold(check, Check::mend)
}

/// A rotation that was interrupted: the next command that writes ends it.
fn rotation(unfinished: Result<PathBuf, StoreError>) -> Check {
    let (what, why) = match unfinished {
        Ok(next) => (
            format!("a key rotation was interrupted: its new key is {}", shown_path(&next)),
            "The next command that writes, and `run`, finish it or take it back, by what opens the stored API keys. Delete no key.",
        ),
        Err(error) => (
            error.to_string(),
            "It lies where a rotation puts its new key, and is none; the key in use is another file, and good. The next command that writes sets it aside.",
        ),
    };
    Check::warning("rotation", what, why).mend("oxide-operator key check")
}

fn source(context: &Context) -> Check {
    match context.read_source() {
        Ok(_) => Check::fine("source", context.source.to_string()),
        Err(error) => no_source(&error),
    }
}

fn no_source(error: &SourceError) -> Check {
    Check::problem("source", error.to_string(), capital(error.hint()))
}

/// Compares both sides, as `verify` does.
fn sides(context: &Context, store: &mut Store) -> Check {
    let source = match context.read_source() {
        Ok(source) => source,
        Err(error) => return no_source(&error),
    };
    let report = context.pass_over(&source, store, &Pass::plan(&Policy::default())).report;
    match report.outcome {
        Outcome::InSync => match report.findings.first() {
            None => Check::fine("sides", "YAML and database say the same"),
            Some(first) => {
                let what = findings_text(std::slice::from_ref(first));
                let why = "YAML and database say the same; `oxide-operator plan` shows every warning with its line.";
                Check::warning("source", what.lines().next().unwrap_or_default(), why)
            }
        },
        Outcome::Invalid if report.plan.is_none() => {
            let first = findings_text(&report.findings[..1.min(report.findings.len())]);
            let what =
                format!("{} is not valid: {}", context.source, first.lines().next().unwrap_or_default());
            let why = "Nothing is written from it until it is; `oxide-operator plan` shows every finding with its line.";
            Check::problem("source", what, why)
        }
        Outcome::Failed => Check::problem("sides", report.summary, "They could not be compared."),
        _ => differ(&report),
    }
}

fn differ(report: &SyncReport) -> Check {
    let what = format!("YAML and database differ: {}", counts(report));
    if report.total(Class::Pending) > 0 {
        let why = "The YAML was changed and is not in the database yet.";
        return Check::warning("sides", what, why).mend("oxide-operator apply");
    }
    let why = "Somebody edited the database, or it was in use before. `plan` shows each difference and why it stays. Then choose: `promote PATH` takes the database's value into the YAML, `accept PATH` leaves it, `adopt` answers all of a first meeting, and `revert PATH` writes the YAML's value back.";
    Check::warning("sides", what, why).mend("oxide-operator plan")
}

/// The folder of the backups where it is none, or lies on a disk of its own that is full.
fn backups_in_the_way(folder: &Path) -> Option<Check> {
    let there = std::fs::metadata(folder).ok()?;
    if there.is_dir() {
        let room = machine::room(folder);
        return (room.status != Status::Fine).then_some(room);
    }
    let what = format!("{} is in the way of the folder of the backups", shown_path(folder));
    let why = "Nothing can be written: a backup is taken before every write. Move it away, and the folder is made anew.";
    let aside = folder.with_extension("aside");
    Some(Check::problem("backup", what, why).mend(format!(
        "mv -n {} {}",
        machine::quoted(folder),
        machine::quoted(&aside)
    )))
}

/// Warns where backups on request leave no room for another, given the bytes that they take up.
fn backup_room(filled: Option<u64>) -> Option<Check> {
    let bytes = filled?;
    let what = format!("backups on request take up {} MB, all that backups may have", bytes / 1_000_000);
    let why = "They are never deleted to make room, so the next `backup create` is refused. Delete those that nobody needs, or set `backups.folder` to a larger disk.";
    Some(Check::warning("backups", what, why).mend("oxide-operator backup list"))
}

/// Tries to get the write lock; says who has it.
fn lock(context: &Context, database: &Path) -> Check {
    let unwritable = |why: String| Check::problem("lock", why, "The database cannot be written.");
    // Not as a command that writes opens it: `doctor` finishes nothing that it finds.
    let mut store = match Store::at(&context.db, Access::Write, &context.keys) {
        Ok(store) => store,
        Err(error) => return unwritable(error.to_string()),
    };
    store.set_backups(&context.backups);
    let began = store.begin();
    store.rollback();
    match began {
        Ok(()) => return Check::fine("lock", "nobody holds the database"),
        Err(error) if error.reason() != "locked" => return unwritable(error.to_string()),
        Err(_) => {}
    }
    let why = "Nobody can write meanwhile; the orchestrator says \"database is locked\" after 5 s. A healthy writer holds the lock for milliseconds.";
    let Some(holder) = holder::of(database) else {
        return Check::problem(
            "lock",
            "the database is locked by a process that cannot be seen from here",
            why,
        );
    };
    let what = format!("{holder} has held the database for longer than 3 s");
    let why = format!(
        "{why} Wait for it, or stop it the way it is usually stopped: its service, its pod, Ctrl-C. This shows what it is:"
    );
    Check::problem("lock", what, why).mend(format!("ps -o pid,user,lstart,args -p {}", holder.pid))
}

/// Whether the newest backup can be restored, and is of the newest state but one.
fn backup(store: &mut Store) -> Check {
    let Some(newest) = store.backups().into_iter().map(|listed| listed.backup).next() else {
        if written_since(store, 0) < 2 {
            return Check::fine("backup", "none yet; one is taken before every write");
        }
        let why = "One is taken before every write, so somebody removed them.";
        return Check::warning("backup", "there is no backup", why).mend("oxide-operator backup create");
    };
    let check = check_backup(&newest.path, store.keys());
    let name = shown_path(&newest.path);
    if !check.is_fine() {
        let what = format!("the newest backup, {name}, cannot be restored");
        let why = "`oxide-operator backup check` says why, and which of the others can.";
        return Check::problem("backup", what, why).mend("oxide-operator backup create");
    }
    let newest_revision = store.newest_revision().ok().flatten().unwrap_or(0);
    let held = check.record.and_then(|record| record.revision);
    if written_since(store, held.unwrap_or(0)) > 1 {
        let held = held.unwrap_or(0);
        let what = format!("the newest backup holds revision {held}, the database {newest_revision}");
        let why = "One is taken before every write, so newer ones were removed.";
        return Check::warning("backup", what, why).mend("oxide-operator backup create");
    }
    Check::fine(
        "backup",
        match check.verdict {
            Verdict::Empty => format!("{name} is of the time before the database held a configuration"),
            _ => format!("{name} can be restored"),
        },
    )
}

/// How many writes of this program the history has after a revision. Before each, a backup was taken.
fn written_since(store: &mut Store, revision: i64) -> usize {
    let ours = |it: &Revision| {
        it.edit.is_none() && matches!(it.revision, RevisionId::Ours(number) if number > revision)
    };
    store.revisions().map_or(0, |revisions| revisions.iter().filter(|it| ours(it)).count())
}

/// Which configuration the orchestrator would load.
fn orchestrator(context: &Context) -> Check {
    match load(&context.source, &context.db, &context.keys, &context.reach) {
        Ok(loaded) => match loaded.backend {
            Backend::Database => Check::fine("orchestrator", "it would load the database"),
            Backend::Yaml(why) => {
                let what = format!("it would fall back to its YAML: {why}");
                Check::problem(
                    "orchestrator",
                    what,
                    "Edits in the web UI have no effect until this is fixed.",
                )
            }
        },
        Err(error) => {
            let what = error.to_string().lines().next().unwrap_or_default().to_owned();
            Check::problem(
                "orchestrator",
                format!("it would load neither: {what}"),
                "It cannot start like this.",
            )
        }
    }
}

/// Whether the orchestrator answers, and runs with what the database holds.
fn consumer(context: &Context, live: &Configuration, keys: &KeyRing) -> Option<Check> {
    let consumer = context.consumer.as_ref()?;
    let error = match consumer.check(live, keys.fingerprinter()) {
        Ok(()) => return Some(Check::fine("consumer", format!("{} runs with the database", consumer.url()))),
        Err(error) => error,
    };
    let why = format!("It goes on with what it read before. {}", capital(error.hint()));
    let check = Check::problem("consumer", error.to_string(), why);
    Some(match error {
        ConsumerError::Differs { .. } => {
            check.mend(format!("oxide-operator reload --reload-url {}", machine::quoted_text(consumer.url())))
        }
        _ => check,
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + chars.as_str() + ".")
        .unwrap_or_default()
}
