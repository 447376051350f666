//! `key`: make, check and change the encryption key.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use super::args::{Format, Key as Args, OutputFormat};
use super::context::{Context, error_with_help};
use super::doctor::quoted;
use super::documents::KeyCheckDocument;
use super::{Exit, output, reload};
use crate::model::{StoreSnapshot, printable, shown_path};
use crate::place::Place;
use crate::store::{
    Access, KEY_FILE, KEY_VARIABLE, KeyPlace, Resumed, Store, StoreError, files, generate_key, read_key_file,
    write_key_file,
};

pub(super) fn run(context: &Context, args: &Args) -> Result<Exit> {
    match args {
        Args::Generate { file } => generate(file.as_deref()),
        Args::Check(format) => check(context, *format),
        Args::Rotate { new_key_file, dry_run } => rotate(context, new_key_file.as_deref(), *dry_run),
        Args::Reset { yes } => reset(context, *yes),
    }
}

fn generate(file: Option<&Path>) -> Result<Exit> {
    let key = generate_key();
    let Some(file) = file else {
        output::result(key.as_str());
        return Ok(Exit::Ok);
    };
    let file = &crate::source::at_home(file);
    if file.exists() {
        let message = format!("{} exists, and is not overwritten", shown_path(file));
        return Err(error_with_help(
            message,
            "name another file: API keys may be encrypted under the key in this one",
        ));
    }
    write_key_file(file, &key)?;
    output::note(format!("✅ New key in {}", shown_path(file)));
    Ok(Exit::Ok)
}

fn check(context: &Context, format: Format) -> Result<Exit> {
    // Where it can be written, an interrupted rotation is finished first.
    let writable = Place::of(&context.db).suits_a_database();
    let mut store = context.existing_store(if writable { Access::Write } else { Access::Read })?;
    let live = store.read()?;
    let other = other_key(context, &mut store, &live)?;
    let keys = store.keys();
    let document = KeyCheckDocument {
        origin: keys.has_key().then(|| keys.origin()),
        fingerprint: keys.present_fingerprint(),
        tokens: live.tokens,
        under_retired_key: live.under_retired_key,
        undecryptable: live.undecryptable,
        retired_keys: keys.retired(),
        other_key: other.as_ref().map(|other| other.place.to_string()),
    };
    let good = live.undecryptable == 0 && live.under_retired_key == 0;
    if format.output == OutputFormat::Table {
        output::result(text(&document, keys.file(), other.as_ref()));
    } else {
        output::value(&document, format.output);
    }
    Ok(if good { Exit::Ok } else { Exit::Error })
}

fn text(check: &KeyCheckDocument, file: &Path, other: Option<&KeyElsewhere>) -> String {
    let mut text = match (&check.origin, &check.fingerprint) {
        (Some(origin), Some(print)) => format!("Key      {} (fingerprint {print})\n", printable(origin)),
        _ => {
            format!(
                "Key      none: OXIDE_ENCRYPTION_KEY is not set and {} does not exist\n",
                shown_path(file)
            )
        }
    };
    let opened = check.tokens - check.undecryptable - check.under_retired_key;
    text.push_str(&format!("Opens    {opened} of {}\n", output::counted(check.tokens, "stored API key")));
    if check.retired_keys > 0 {
        text.push_str(&format!(
            "Retired  {} at hand, for reading\n",
            output::counted(check.retired_keys, "key")
        ));
    }
    if let Some(other) = other {
        let commands: Vec<_> = other.commands.iter().map(|command| printable(command)).collect();
        text.push_str(&format!("✗ {}\n  fix:  {}\n", printable(&other.what), commands.join("\n  then: ")));
        return text;
    }
    if check.under_retired_key > 0 {
        text.push_str(&format!(
            "✗ {} under a retired key, so the orchestrator cannot read them\n  fix:  oxide-operator key rotate\n",
            output::counted(check.under_retired_key, "API key"),
        ));
    }
    if check.undecryptable > 0 {
        text.push_str(&format!(
            "✗ {} of them open with no key that can be reached; `oxide-operator doctor` says what to do\n",
            check.undecryptable
        ));
    }
    text
}

fn rotate(context: &Context, new: Option<&Path>, dry_run: bool) -> Result<Exit> {
    let mut store = open(context)?;
    let live = store.read()?;
    if live.tokens == 0 {
        bail!("no API key is stored, so there is nothing to encrypt anew");
    }
    let (tokens, file) = (output::counted(live.tokens, "stored API key"), store.keys().file().to_owned());
    if dry_run {
        output::result(format!(
            "Would encrypt {tokens} under a new key, and put that into {}.",
            shown_path(&file)
        ));
        return Ok(Exit::Ok);
    }
    if live.undecryptable > 0 {
        let message =
            format!("{} of {tokens} open with no key at hand, and would be lost", live.undecryptable);
        return Err(error_with_help(message, "name the key that opens them with --old-key-file"));
    }
    let (key, origin) = match new {
        Some(path) => {
            let path = &crate::source::at_home(path);
            let text =
                read_key_file(path)?.with_context(|| format!("{} does not exist", shown_path(path)))?;
            (text, path.display().to_string())
        }
        None => (generate_key(), "the new key".to_owned()),
    };
    let rotated = store.rotate(&key, &origin, SystemTime::now())?;
    output::result(format!(
        "✅ {} encrypted under a new key, read back and verified\nNew key: {}\nOld key: {} (backups and history need it)",
        output::counted(rotated.tokens, "API key"),
        shown_path(&file),
        shown_path(&rotated.retired),
    ));
    if let Some(backup) = &rotated.backup {
        output::result(format!("Backup: {}", shown_path(&backup.path)));
    }
    drop(store);
    output::note(
        "Restart the orchestrator, so that it reads the new key. Rotating does not take a leaked API key back: change it where it was issued.",
    );
    reload::after_write(context);
    Ok(Exit::Ok)
}

fn reset(context: &Context, yes: bool) -> Result<Exit> {
    let mut store = open(context)?;
    let live = store.read()?;
    if let Some(other) = other_key(context, &mut store, &live)? {
        let message = format!("the key is not lost: {}", other.what);
        return Err(error_with_help(message, other.commands.join("; then ")));
    }
    if live.undecryptable == 0 {
        let message = "every stored API key opens with the keys at hand: the key is not lost";
        return Err(error_with_help(message, "to change the key, use `oxide-operator key rotate`"));
    }
    let (database, file) = (store.path().display().to_string(), store.keys().file().to_owned());
    let tokens = output::counted(live.undecryptable, "stored API key");
    if !yes {
        output::result(format!(
            "{tokens} cannot be read with any key that can be reached: the variable, the key file, --old-key-file and every file named like the key file were tried. If the right key is found, put it into {} instead.\nThis would set {database} aside among its backups, and the key file beside its place.\nNothing was done; --yes does it.",
            shown_path(&file)
        ));
        return Ok(Exit::Guarded);
    }
    let retired = store.retire(live.fingerprint, SystemTime::now())?;
    output::result(format!("✅ Database set aside: {}", shown_path(&retired)));
    if store.keys().is_in_file() {
        let aside = files::set_aside(&file, "lost", SystemTime::now())?;
        output::result(format!("✅ Key file set aside: {}", shown_path(&aside)));
    }
    output::result(
        "\nNext: oxide-operator migrate\nIt makes a new key and a new database from the YAML; then enter the API keys again.",
    );
    Ok(Exit::Ok)
}

/// A key that is not used and opens more than the used one, and how it is put to use.
pub(super) struct KeyElsewhere {
    /// Where it lies.
    pub(super) place: KeyPlace,
    /// What it opens, in a sentence without a full stop.
    pub(super) what: String,
    /// What puts it to use, in this order. Nothing is deleted by it.
    pub(super) commands: Vec<String>,
}

/// Looks for a key that opens what the present one does not, wherever one can be reached.
pub(super) fn other_key(
    context: &Context,
    store: &mut Store,
    live: &StoreSnapshot,
) -> Result<Option<KeyElsewhere>, StoreError> {
    let all_open = live.undecryptable == 0 && live.under_retired_key == 0;
    // A key that a rotation retired opens what the orchestrator wrote late: those are rotated, the key stays.
    let rotated = live.undecryptable == 0 && store.keys().is_in_file();
    if all_open || rotated {
        return Ok(None);
    }
    let Some(other) = store.other_key(&context.keys)? else { return Ok(None) };
    let (used, file) = (store.keys().origin(), store.keys().file().to_owned());
    let what = format!(
        "{} opens {} of {}",
        other.place,
        other.opens,
        output::counted(live.tokens, "stored API key")
    );
    let what = if store.keys().has_key() { format!("{what}, which {used} does not") } else { what };
    let beside = store.path().with_file_name(KEY_FILE);
    let commands = if context.keys.file.is_some() && other.place == KeyPlace::File(beside) {
        // It is where it belongs: only the setting that names another file is wrong.
        vec![format!(
            "oxide-operator key check --key-file {}",
            quoted(&store.path().with_file_name(KEY_FILE))
        )]
    } else {
        to_use(&other.place, &file, context.keys.environment.is_some())
    };
    Ok(Some(KeyElsewhere { place: other.place, what, commands }))
}

/// The commands after which a key is the one that is used, by the orchestrator as well.
fn to_use(place: &KeyPlace, file: &Path, variable_is_set: bool) -> Vec<String> {
    let mut commands = Vec::new();
    if variable_is_set && *place != KeyPlace::Variable {
        commands.push(format!("unset {KEY_VARIABLE}"));
    }
    match place {
        KeyPlace::File(found) if found != file => {
            if file.exists() {
                let aside = file.with_extension("key.wrong");
                commands.push(format!("mv -n {} {}", quoted(file), quoted(&aside)));
            }
            commands.push(format!("cp -np {} {}", quoted(found), quoted(file)));
        }
        _ => {}
    }
    commands
}

/// The store, which must be there; a rotation that was interrupted is finished first.
fn open(context: &Context) -> Result<Store> {
    let store = context.store(Access::Write)?;
    if !store.exists() {
        bail!("{} does not exist: no API key is stored", shown_path(store.path()));
    }
    Ok(store)
}

/// Says what was done about a rotation that was interrupted.
pub(super) fn resumed(resumed: &Resumed) -> String {
    match resumed {
        Resumed::Finished => {
            "A key rotation that was interrupted is finished now; restart the orchestrator.".into()
        }
        Resumed::Undone => {
            "A key rotation was interrupted before it changed any API key: the old key stays, the new one is kept as .retired.".into()
        }
        Resumed::NoKey(aside) => format!(
            "What lay in the place of a rotation's new key is no key, and opens nothing: it is kept as {}. The key stays.",
            shown_path(aside)
        ),
    }
}
