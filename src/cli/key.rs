//! `key`: make, check and change the encryption key.

use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};

use super::args::{Format, Key as Args, OutputFormat};
use super::context::{Context, error_with_help};
use super::documents::KeyCheckDocument;
use super::{Exit, output, reload};
use crate::store::{Access, KeyText, Resumed, Store, files, generate_key, write_key_file};

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
    write_key_file(file, &key)?;
    output::note(format!("✅ New key in {}", file.display()));
    Ok(Exit::Ok)
}

fn check(context: &Context, format: Format) -> Result<Exit> {
    let mut store = open(context)?;
    let live = store.read()?;
    let keys = store.keys();
    let document = KeyCheckDocument {
        origin: keys.has_key().then(|| keys.origin()),
        fingerprint: keys.present_fingerprint(),
        tokens: live.tokens,
        under_retired_key: live.under_retired_key,
        undecryptable: live.undecryptable,
        retired_keys: keys.retired(),
    };
    let good = live.undecryptable == 0 && live.under_retired_key == 0;
    if format.output == OutputFormat::Table {
        output::result(text(&document, keys.file()));
    } else {
        output::value(&document, format.output);
    }
    Ok(if good { Exit::Ok } else { Exit::Error })
}

fn text(check: &KeyCheckDocument, file: &Path) -> String {
    let mut text = match (&check.origin, &check.fingerprint) {
        (Some(origin), Some(print)) => format!("Key      {origin} (fingerprint {print})\n"),
        _ => {
            format!("Key      none: OXIDE_ENCRYPTION_KEY is not set and {} does not exist\n", file.display())
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
    if check.under_retired_key > 0 {
        text.push_str(&format!(
            "✗ {} under a retired key, so the orchestrator cannot read them\n  mend: oxide-operator key rotate\n",
            output::counted(check.under_retired_key, "API key"),
        ));
    }
    if check.undecryptable > 0 {
        text.push_str(&format!(
            "✗ {} of them open with no key at hand; `oxide-operator doctor` says what to do\n",
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
            file.display()
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
            let text = std::fs::read_to_string(path).map(KeyText::new);
            let text = text.with_context(|| format!("read the new key {}", path.display()))?;
            (text, path.display().to_string())
        }
        None => (generate_key(), "the new key".to_owned()),
    };
    let rotated = store.rotate(&key, &origin, SystemTime::now())?;
    output::result(format!(
        "✅ {} encrypted under a new key, read back and verified\nNew key: {}\nOld key: {} (backups and history need it)",
        output::counted(rotated.tokens, "API key"),
        file.display(),
        rotated.retired.display(),
    ));
    if let Some(backup) = &rotated.backup {
        output::result(format!("Backup: {}", backup.path.display()));
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
    if live.undecryptable == 0 {
        let message = "every stored API key opens with the keys at hand: the key is not lost";
        return Err(error_with_help(message, "to change the key, use `oxide-operator key rotate`"));
    }
    let (database, file) = (store.path().display().to_string(), store.keys().file().to_owned());
    let tokens = output::counted(live.undecryptable, "stored API key");
    if !yes {
        output::result(format!(
            "{tokens} cannot be read with any key at hand. If the right key is found, put it into {} instead.\nThis would set {database} aside among its backups, and the key file beside its place.\nNothing was done; --yes does it.",
            file.display()
        ));
        return Ok(Exit::Guarded);
    }
    let retired = store.retire(live.fingerprint, SystemTime::now())?;
    output::result(format!("✅ Database set aside: {}", retired.display()));
    if store.keys().is_in_file() {
        let aside = files::set_aside(&file, "lost", SystemTime::now())?;
        output::result(format!("✅ Key file set aside: {}", aside.display()));
    }
    output::result(
        "\nNext: oxide-operator migrate\nIt makes a new key and a new database from the YAML; then enter the API keys again.",
    );
    Ok(Exit::Ok)
}

/// The store, which must be there; a rotation that was interrupted is finished first.
fn open(context: &Context) -> Result<Store> {
    let store = context.store(Access::Write)?;
    if !store.exists() {
        bail!("{} does not exist: no API key is stored", store.path().display());
    }
    Ok(store)
}

/// Says what was done about a rotation that was interrupted.
pub(super) fn resumed(resumed: Resumed) -> &'static str {
    match resumed {
        Resumed::Finished => "A key rotation that was interrupted is finished now; restart the orchestrator.",
        Resumed::Undone => {
            "A key rotation was interrupted before it changed any API key: the old key stays, the new one is kept as .retired."
        }
    }
}
