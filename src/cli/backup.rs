//! `backup`: list, take, check and restore backups.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};

use super::args::{Backup as Args, Format, OutputFormat, RestoreArgs};
use super::context::{Context, error_with_help};
use super::{Exit, output, restore};
use crate::actions::{Listed, back_up, listed, name_of, which_key};
use crate::model::{printable, shown_path};
use crate::store::{
    Access, BackupCheck, BackupRecord, Examined, KeyRing, Store, StoreError, Verdict, WhenMissing,
    check_backup, read_backup,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit> {
    match args {
        Args::List(format) => list(context, *format),
        Args::Create { reason } => create(context, reason),
        Args::Check { names, format } => check(context, names, *format),
        Args::Restore { name, from_another_database, how } => {
            restore_from(context, name, *from_another_database, how)
        }
    }
}

fn list(context: &Context, format: Format) -> Result<Exit> {
    let mut store = context.store(Access::Read)?;
    store.ensure_backups_readable()?;
    let listed: Vec<Listed> = store.backups().into_iter().map(listed).collect();
    if listed.is_empty() && !store.exists() {
        let message = format!("{} does not exist, and there are no backups of it", shown_path(store.path()));
        return Err(error_with_help(message, "name the database with --db"));
    }
    if format.output != OutputFormat::Table {
        output::value(&listed, format.output);
        return Ok(Exit::Ok);
    }
    if listed.is_empty() {
        output::note("No backups yet; one is taken before every write.");
        return Ok(Exit::Ok);
    }
    let key = store.keys().present_fingerprint();
    let rows = listed.iter().map(|backup| {
        let record = backup.record.as_ref();
        let of_record = |text: &dyn Fn(&BackupRecord) -> String| record.map_or_else(|| "-".into(), text);
        vec![
            backup.name.clone(),
            output::local_time(backup.taken_at),
            format!("{:.1} MB", backup.bytes as f64 / 1e6),
            of_record(&|it| it.revision.map_or_else(|| "-".into(), |number| number.to_string())),
            of_record(&|it| format!("{}/{}", it.services, it.rules)),
            of_record(&|it| which_key(it, key.as_deref()).into()),
            of_record(&|it| it.why.clone()),
        ]
    });
    output::table(&["NAME", "TAKEN", "SIZE", "REV", "SERVICES/RULES", "KEY", "WHY"], rows);
    Ok(Exit::Ok)
}

fn create(context: &Context, reason: &str) -> Result<Exit> {
    // As whoever writes opens it: a database that may not be written where it lies is not copied there either.
    let mut store = context.existing_store(Access::Write)?;
    let source = context.read_source().ok();
    match back_up(&mut store, source.as_ref(), reason, SystemTime::now()) {
        Ok(Some(backup)) => output::result(format!("✅ Backup: {}", shown_path(&backup.path))),
        Ok(None) => bail!("{} holds nothing yet: there is nothing to back up", shown_path(store.path())),
        Err(StoreError::Stale) => {
            bail!("the database changed during each of five tries; try again when less is written")
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Ok)
}

fn check(context: &Context, names: &[String], format: Format) -> Result<Exit> {
    let mut store = context.store(Access::Read)?;
    let paths: Vec<PathBuf> = if names.is_empty() {
        store.backups().into_iter().map(|listed| listed.backup.path).collect()
    } else {
        names.iter().map(|name| find(&store, name)).collect::<Result<_>>()?
    };
    let checks: Vec<BackupCheck> = paths.iter().map(|path| check_backup(path, store.keys())).collect();
    let good = checks.iter().all(BackupCheck::is_fine);
    if format.output == OutputFormat::Table {
        if checks.is_empty() {
            output::note("No backups yet; one is taken before every write.");
        }
        let text: String = checks.iter().map(|check| line(check, store.keys())).collect();
        output::result(text);
    } else {
        output::value(&checks, format.output);
    }
    Ok(if good { Exit::Ok } else { Exit::Error })
}

fn line(check: &BackupCheck, keys: &KeyRing) -> String {
    let name = printable(name_of(&check.path).as_ref()).into_owned();
    let unrecorded = if check.record.is_none() { "; it has no record to compare with" } else { "" };
    match &check.verdict {
        Verdict::Good => format!("✓ {name}  can be restored{unrecorded}\n"),
        Verdict::GoodUnderRetiredKey => {
            format!("✓ {name}  can be restored: a retired key that opens it is at hand{unrecorded}\n")
        }
        Verdict::NeedsKey(count) => format!(
            "✗ {name}  cannot be restored: {} in it opens with no key at hand, not with {}\n  help: name the key of that time with --old-key-file\n",
            output::counted(*count, "API key"),
            printable(&keys.origin()),
        ),
        Verdict::Empty => format!("✓ {name}  holds no configuration yet: the database was empty then\n"),
        Verdict::Damaged(why) => {
            format!(
                "✗ {name}  is damaged: {}\n  help: do not rely on it; `oxide-operator backup create` takes another\n",
                printable(why)
            )
        }
    }
}

/// Returns the backup that a name or path means.
fn find(store: &Store, name: &str) -> Result<PathBuf> {
    let plain = name.strip_suffix(".db").unwrap_or(name);
    let listed = store.backup_folder().join(format!("{plain}.db"));
    [PathBuf::from(name), listed].into_iter().find(|path| path.is_file()).ok_or_else(|| {
        error_with_help(
            format!("there is no backup {name}"),
            "`oxide-operator backup list` shows what there is",
        )
    })
}

fn restore_from(context: &Context, name: &str, from_another: bool, how: &RestoreArgs) -> Result<Exit> {
    let mut store = context.store(Access::Read)?;
    let path = find(&store, name)?;
    let check = check_backup(&path, store.keys());
    let damage = damage(&mut store);
    if !from_another && !store.owns(check.record.as_ref()) {
        let of = check.record.and_then(|record| record.file).unwrap_or_else(|| "another database".to_owned());
        let message = format!("{name} is a backup of {of}, not of {}", shown_path(store.path()));
        return Err(error_with_help(
            message,
            "`oxide-operator backup list` shows those of this database; --from-another-database restores this one all the same",
        ));
    }
    let restorable =
        check.verdict.is_good() || matches!(check.verdict, Verdict::NeedsKey(_)) && how.only.is_some();
    if !restorable {
        output::note(line(&check, store.keys()).trim_end());
        output::note("Nothing was written.");
        return Ok(Exit::Error);
    }
    if !store.exists() || store.is_empty_file() {
        if check.verdict == Verdict::GoodUnderRetiredKey {
            let hint = "make a database with `oxide-operator migrate`, then run this again: it encrypts the keys anew";
            let message = "the orchestrator could not read a whole copy of a backup under a retired key";
            return Err(error_with_help(message, hint));
        }
        return put_back(&store, &path, how);
    }
    if let Some(damage) = damage {
        if check.verdict == Verdict::GoodUnderRetiredKey {
            let hint = "`oxide-operator apply` moves the database aside and restores the newest backup under the present key";
            let message = "the orchestrator could not read a whole copy of a backup under a retired key";
            return Err(error_with_help(message, hint));
        }
        drop(store);
        return replace_damaged(context, &damage, &path, how);
    }
    // Rows come back into whatever is there now: that it is not what was there is why somebody restores.
    context.when_missing.set(WhenMissing::StartFresh);
    let backup = read_backup(&path, store.keys())?;
    drop(store);
    restore::to_state(context, &backup.live, &name_of(&path), how)
}

/// What is wrong with the database, when no backup of it could be taken before a restore.
fn damage(store: &mut Store) -> Option<StoreError> {
    let looked = store.read().and_then(|_| store.check_soundness());
    looked.err().filter(|error| error.is_corruption() || matches!(error, StoreError::Backup { .. }))
}

/// A damaged database gives way to the backup, whole, and is kept.
fn replace_damaged(context: &Context, damage: &StoreError, backup: &Path, how: &RestoreArgs) -> Result<Exit> {
    let database = shown_path(&context.db);
    if let Some(only) = &how.only {
        let message = format!("{damage}, so {only} alone cannot be restored into it");
        return Err(error_with_help(message, "restore all of the backup, without --only"));
    }
    if how.edit.dry_run {
        let name = name_of(backup);
        output::result(format!(
            "{}. Would keep it under quarantine/, and put the whole of {name} at {database}.",
            printable(&damage.to_string())
        ));
        return Ok(Exit::Ok);
    }
    let mut store = Store::at(&context.db, Access::Write, &context.keys)?;
    if store.examine()? == Examined::Sound {
        bail!("{database} is sound now: somebody replaced it meanwhile; try again");
    }
    let done = store.replace_damaged(backup, SystemTime::now())?;
    output::note(format!(
        "warning: {}; the damaged files are kept in {}",
        printable(&damage.to_string()),
        shown_path(&done.kept_in)
    ));
    output::result(format!("✅ {database} is back, from {}", name_of(backup)));
    output::note("Restart the orchestrator, so that it reads the database again.");
    Ok(Exit::Ok)
}

/// Without a database the backup comes back whole, with its history.
fn put_back(store: &Store, backup: &Path, how: &RestoreArgs) -> Result<Exit> {
    let database = shown_path(store.path());
    if let Some(only) = &how.only {
        bail!("{database} does not exist, so {only} alone cannot be restored into it");
    }
    if how.edit.dry_run {
        output::result(format!("Would put the whole of {} at {database}.", name_of(backup)));
        return Ok(Exit::Ok);
    }
    store.put_back(backup)?;
    output::result(format!("✅ {database} is back, from {}", name_of(backup)));
    output::note("Restart the orchestrator, so that it reads the database again.");
    Ok(Exit::Ok)
}
