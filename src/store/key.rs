//! The encryption key: found as the orchestrator finds it, generated only when nothing depends on another one.
//!
//! Source: `_setup_encryption` in the orchestrator's `config_storage_sqlite.py`: `OXIDE_ENCRYPTION_KEY`, else
//! `encryption.key` beside the database, else generated there. Ours is created 0600.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use fernet::Fernet;
use zeroize::Zeroizing;

use super::StoreError;
use super::error::Doing as _;
pub(super) use super::key_text::parse;
use super::key_text::{KEY_CHARACTERS, KeyText};
use crate::model::{Fingerprinter, KEY_FILE, KEY_VARIABLE, SecretText, StoreSnapshot};
use crate::small_file;

/// A key file larger than this is not a key file, in bytes.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// Where keys may come from. The shell fills it in; nothing here reads the environment.
#[derive(Clone, Default)]
pub struct KeySources {
    /// The value of `OXIDE_ENCRYPTION_KEY`, when it is set and not empty.
    pub environment: Option<KeyText>,
    /// A key file that the user named, used instead of the one beside the database.
    pub file: Option<PathBuf>,
    /// Files with keys that may still be needed for reading.
    pub retired: Vec<PathBuf>,
}

impl KeySources {
    /// The files that keys are read from, for the database at a path.
    pub fn files(&self, database: &Path) -> Vec<PathBuf> {
        let usual = || database.with_file_name(KEY_FILE);
        let file = self.file.clone().unwrap_or_else(usual);
        std::iter::once(file).chain(self.retired.iter().cloned()).collect()
    }
}

impl fmt::Debug for KeySources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySources")
            .field("environment", &self.environment.as_ref().map(|_| "••••"))
            .field("file", &self.file)
            .field("retired", &self.retired)
            .finish()
    }
}

/// Where a key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// `OXIDE_ENCRYPTION_KEY`.
    Variable,
    /// A file.
    File(PathBuf),
}

impl fmt::Display for KeyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str(KEY_VARIABLE),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// The keys at hand: one for writing and reading, others for reading only.
#[derive(Clone)]
pub struct KeyRing {
    present: Option<Key>,
    retired: Vec<Fernet>,
    fingerprinter: Fingerprinter,
    file: PathBuf,
}

#[derive(Clone)]
struct Key {
    fernet: Fernet,
    origin: String,
}

/// A decrypted token.
pub(super) struct Opened {
    pub(super) plain: SecretText,
    /// Whether only a retired key opened it.
    pub(super) by_retired_key: bool,
}

impl KeyRing {
    /// Finds the keys for the database in `folder`.
    ///
    /// # Errors
    /// A key that is there and is not a Fernet key, or a file that cannot be read. A missing key is no error
    /// yet: a store without API keys needs none.
    pub fn find(sources: &KeySources, folder: &Path) -> Result<Self, StoreError> {
        let file = sources.file.clone().unwrap_or_else(|| folder.join(KEY_FILE));
        let found = match &sources.environment {
            Some(key) => Some((key.clone(), KEY_VARIABLE.to_owned())),
            None => read_key_file(&file)?.map(|key| (key, file.display().to_string())),
        };
        let mut retired = Vec::new();
        for path in &sources.retired {
            let Some(key) = read_key_file(path)? else {
                let source = std::io::ErrorKind::NotFound.into();
                return Err(StoreError::File { doing: "read the retired key", path: path.clone(), source });
            };
            retired.push(parse(&key, &path.display().to_string())?.0);
        }
        retired.extend(retired_beside(&file));
        let mut ring = Self { present: None, retired, fingerprinter: ephemeral(), file };
        if let Some((key, origin)) = found {
            ring.adopt(&key, origin)?;
        }
        Ok(ring)
    }

    /// Whether there is a key to write with.
    pub fn has_key(&self) -> bool {
        self.present.is_some()
    }

    /// Where the present key came from, for messages.
    pub fn origin(&self) -> String {
        self.present.as_ref().map_or_else(|| "no key".to_owned(), |key| key.origin.clone())
    }

    /// Whether the present key is that of the key file.
    pub fn is_in_file(&self) -> bool {
        self.present.as_ref().is_some_and(|key| key.origin == self.file.display().to_string())
    }

    /// How many retired keys are at hand.
    pub fn retired(&self) -> usize {
        self.retired.len()
    }

    /// Returns the ring with another present key in the same file; the one until now is kept for reading.
    pub(super) fn under(&self, new: &KeyText) -> Result<Self, StoreError> {
        let mut ring = self.clone();
        ring.retired.extend(ring.present.take().map(|key| key.fernet));
        ring.adopt(new, self.file.display().to_string())?;
        Ok(ring)
    }

    /// Reads the key file again.
    pub(super) fn reread(&self) -> Result<Self, StoreError> {
        let key = read_key_file(&self.file)?.ok_or_else(|| StoreError::NoKey { path: self.file.clone() })?;
        self.under(&key)
    }

    /// Whether the present key opens a token, without help of a retired one.
    pub(super) fn opens_by_itself(&self, token: &str) -> bool {
        self.open(token).is_some_and(|opened| !opened.by_retired_key)
    }

    /// Where the key file is, or would be.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Makes fingerprints under the present key. Without one they are good for this process only.
    pub fn fingerprinter(&self) -> &Fingerprinter {
        &self.fingerprinter
    }

    /// Returns a fingerprint of the present key, from which the key cannot be told: 16 hexadecimal digits.
    pub fn present_fingerprint(&self) -> Option<String> {
        let print = self.fingerprinter.fingerprint("oxide-operator encryption key");
        self.has_key().then(|| print.to_hex()[..16].to_owned())
    }

    /// Generates the key file, 0600, when there is no key. An existing file is never overwritten: if another
    /// process made one meanwhile, its key is taken.
    pub fn ensure(&mut self) -> Result<(), StoreError> {
        if self.has_key() {
            return Ok(());
        }
        let key = generate_key();
        if let Some(folder) = self.file.parent() {
            super::files::create_folder(folder)?;
        }
        let created = write_key_file(&self.file, &key).or_else(|error| match error {
            StoreError::File { ref source, .. } if source.kind() == std::io::ErrorKind::AlreadyExists => {
                Ok(())
            }
            error => Err(error),
        });
        created?;
        let origin = self.file.display().to_string();
        let key = read_key_file(&self.file)?.ok_or_else(|| StoreError::NoKey { path: self.file.clone() })?;
        self.adopt(&key, origin)
    }

    /// Encrypts a secret under the present key.
    pub(super) fn seal(&self, plain: &SecretText) -> Result<String, StoreError> {
        self.seal_bytes(plain.expose().as_bytes())
    }

    pub(super) fn seal_bytes(&self, plain: &[u8]) -> Result<String, StoreError> {
        let key = self.present.as_ref().ok_or_else(|| StoreError::NoKey { path: self.file.clone() })?;
        Ok(key.fernet.encrypt(plain))
    }

    /// Decrypts a token with whichever key opens it.
    pub(super) fn open(&self, token: &str) -> Option<Opened> {
        let token = &*normalised(token)?;
        let present = self.present.iter().map(|key| (&key.fernet, false));
        let keys = present.chain(self.retired.iter().map(|key| (key, true)));
        keys.into_iter().find_map(|(key, by_retired_key)| {
            let plain = decrypt(key, token)?;
            Some(Opened { plain: SecretText::new(String::from_utf8(plain).ok()?), by_retired_key })
        })
    }

    /// Decrypts a token that a source carries.
    pub fn open_token(&self, token: &str) -> Option<SecretText> {
        self.open(token).map(|opened| opened.plain)
    }

    /// Refuses to go on under a key that opens nothing of a store: every write would be a guess.
    ///
    /// # Errors
    /// [`StoreError::NoKey`], [`StoreError::WrongKey`].
    pub fn ensure_fits(&self, live: &StoreSnapshot) -> Result<(), StoreError> {
        if live.tokens > 0 && !self.has_key() {
            return Err(StoreError::NoKey { path: self.file.clone() });
        }
        if live.key_is_wrong() {
            return Err(StoreError::WrongKey { tokens: live.tokens, key: self.origin() });
        }
        Ok(())
    }

    /// Whether a text is, or has in it, a key that is at hand, in whatever form.
    pub fn is_in(&self, text: &str) -> bool {
        let in_alphabet = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '+' | '/');
        let words = text.split(|c| !in_alphabet(c)).filter(|word| word.len() == KEY_CHARACTERS);
        let mut candidates = words.map(|word| Zeroizing::new(format!("{word}="))).collect::<Vec<_>>();
        candidates.push(Zeroizing::new(text.to_owned()));
        candidates.iter().filter_map(|key| parse(key, "a text").ok()).any(|(key, _)| {
            // A key tells nothing of itself but what it opens.
            let sealed = key.encrypt(b"");
            let ours = self.present.iter().map(|key| &key.fernet).chain(&self.retired);
            ours.into_iter().any(|ours| decrypt(ours, &sealed).is_some())
        })
    }

    fn adopt(&mut self, key: &KeyText, origin: String) -> Result<(), StoreError> {
        let (fernet, text) = parse(key, &origin)?;
        self.fingerprinter = Fingerprinter::derived_from(text.as_bytes());
        self.present = Some(Key { fernet, origin });
        Ok(())
    }
}

/// Python's decoder wants the padding and accepts both alphabets; the crate does neither.
fn normalised(token: &str) -> Option<Cow<'_, str>> {
    let whole = token.len().is_multiple_of(4);
    whole.then(|| {
        if token.contains(['+', '/']) {
            Cow::Owned(token.replace('+', "-").replace('/', "_"))
        } else {
            Cow::Borrowed(token)
        }
    })
}

/// Whether a key opens a token.
pub(super) fn opens(key: &Fernet, token: &str) -> bool {
    normalised(token).is_some_and(|token| decrypt(key, &token).is_some())
}

/// Every key that can be reached for the database in `folder`, whether it is used or not: in the variable, in the file
/// that was named, beside the database, in the old files that were named, and in whatever is named like a key file.
/// What cannot be read, or is no key, is left out.
pub(super) fn reachable(sources: &KeySources, folder: &Path) -> Vec<(KeyPlace, Fernet)> {
    let beside = folder.join(KEY_FILE);
    let mut files: Vec<PathBuf> = vec![beside.clone()];
    files.extend(sources.file.clone());
    files.extend(sources.retired.iter().cloned());
    files.extend(files_named_after(&beside));
    files.extend(sources.file.iter().flat_map(|file| files_named_after(file)));
    let in_files =
        files.into_iter().filter_map(|file| Some((read_key_file(&file).ok()??, KeyPlace::File(file))));
    let in_variable = sources.environment.clone().map(|key| (key, KeyPlace::Variable));
    let mut keys: Vec<(KeyPlace, Fernet)> = Vec::new();
    for (key, place) in in_variable.into_iter().chain(in_files) {
        let known = keys.iter().any(|(other, _)| *other == place);
        if let (false, Ok((key, _))) = (known, parse(&key, "a key")) {
            keys.push((place, key));
        }
    }
    keys
}

/// A token's age says nothing: the crate's own default refuses tokens of a clock that is a minute ahead, and
/// Python's does not. `u64::MAX - 60` is the latest time the crate can add its allowance to.
fn decrypt(key: &Fernet, token: &str) -> Option<Vec<u8>> {
    key.decrypt_at_time(token, None, u64::MAX - 60).ok()
}

fn ephemeral() -> Fingerprinter {
    Fingerprinter::derived_from(Zeroizing::new(Fernet::generate_key()).as_bytes())
}

/// The keys that rotations left beside the key file and beside what it links to, newest first. One that is no key is
/// nobody's.
fn retired_beside(file: &Path) -> Vec<Fernet> {
    let target = std::fs::canonicalize(file).ok().filter(|target| *target != file);
    let mut paths: Vec<PathBuf> = retired_files(file);
    paths.extend(target.iter().flat_map(|target| retired_files(target)));
    let keys = paths.iter().filter_map(|path| read_key_file(path).ok().flatten());
    keys.filter_map(|key| Some(parse(&key, "a retired key").ok()?.0)).collect()
}

fn retired_files(file: &Path) -> Vec<PathBuf> {
    let mut paths = files_named_after(file);
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "retired"));
    paths
}

/// The files beside a key file that have its name and an ending, the newest first.
fn files_named_after(file: &Path) -> Vec<PathBuf> {
    let beginning = format!("{}.", file.file_name().unwrap_or_default().to_string_lossy());
    let folder = super::files::folder_of(file);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<PathBuf> = entries
        .filter(|path| path.file_name().unwrap_or_default().to_string_lossy().starts_with(&beginning))
        .collect();
    paths.sort_by(|one, two| two.cmp(one));
    paths
}

/// Makes a new key.
pub fn generate_key() -> KeyText {
    Zeroizing::new(Fernet::generate_key())
}

/// The text of a key file; none when there is no such file.
///
/// # Errors
/// What is no small text file, or cannot be read.
pub fn read_key_file(path: &Path) -> Result<Option<KeyText>, StoreError> {
    use std::io::ErrorKind;
    let bad = |why| Err(StoreError::BadKey { origin: path.display().to_string(), why });
    match small_file::read_text(path, MAX_KEY_FILE_BYTES) {
        Ok(text) => Ok(Some(text)),
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Ok(None),
            ErrorKind::InvalidInput | ErrorKind::FileTooLarge => bad("it is not a small regular file"),
            ErrorKind::InvalidData => bad("it is not text"),
            _ => Err(error).doing("read the key file", path),
        },
    }
}

/// Writes a key file, 0600, whole or not at all: a crash leaves no half key behind that would be taken for one. A file
/// that is there is never replaced.
pub fn write_key_file(path: &Path, key: &KeyText) -> Result<(), StoreError> {
    let folder = super::files::folder_of(path);
    super::files::remove_leftovers(folder);
    let mut temporary = super::files::Temporary::beside(path)?;
    temporary.fill(key.as_bytes())?;
    super::crash::point("key_written");
    // A key that another process has made meanwhile stays.
    let written = temporary.place(path).and_then(|()| std::fs::File::open(folder)?.sync_all());
    written.doing("write the key file", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and token of the Fernet specification's own test vectors.
    const KEY: &str = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=";
    const TOKEN: &str = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";

    fn ring(key: &str) -> Result<KeyRing, StoreError> {
        let sources = KeySources { environment: Some(Zeroizing::new(key.into())), ..KeySources::default() };
        KeyRing::find(&sources, Path::new("/nonexistent"))
    }

    #[test]
    fn the_specifications_token_opens_whatever_its_age() {
        let opened = ring(KEY).expect("a key").open(TOKEN).expect("opens");
        assert_eq!(opened.plain.expose(), "hello");
    }

    #[test]
    fn a_key_may_end_in_a_newline_and_use_either_alphabet() {
        assert!(ring(&format!("{KEY}\n")).expect("a key").open(TOKEN).is_some());
        let standard = KEY.replace('-', "+").replace('_', "/");
        assert!(ring(&standard).expect("a key").open(TOKEN).is_some());
    }

    #[test]
    fn characters_that_python_passes_over_are_no_part_of_a_key() {
        let plain = ring(KEY).expect("a key").present_fingerprint();
        let forms = [
            format!("\"{KEY}\""),
            format!("'{KEY}'\r\n"),
            format!("{KEY}="),
            format!("\u{feff}{KEY} # comment"),
            format!("{}={}", &KEY[..2], &KEY[2..]),
            KEY.replace("4e4=", "4e7="),
        ];
        for form in forms {
            let ring = ring(&form).expect("a key");
            assert!(ring.open(TOKEN).is_some());
            assert_eq!(ring.present_fingerprint(), plain, "one key, one fingerprint");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_without_being_shown() {
        for key in
            ["", "short", &KEY[..43], &format!("a{KEY}"), "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!="]
        {
            let error = ring(key).err().expect("not a key").to_string();
            assert!(key.is_empty() || !error.contains(key), "{error}");
        }
    }

    #[test]
    fn a_token_without_padding_is_refused_as_python_refuses_it() {
        assert!(ring(KEY).expect("a key").open(TOKEN.trim_end_matches('=')).is_none());
    }

    #[test]
    fn a_generated_key_is_private_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ring = KeyRing::find(&KeySources::default(), folder.path()).expect("no key yet");
        assert!(!ring.has_key());
        ring.ensure().expect("generated");
        let sealed = ring.seal(&SecretText::new("x")).expect("sealed");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(folder.path().join(KEY_FILE)).expect("there").permissions(),
        );
        assert_eq!(mode & 0o777, 0o600);
        let again = KeyRing::find(&KeySources::default(), folder.path()).expect("found");
        assert_eq!(again.open(&sealed).expect("opens").plain.expose(), "x");
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 1);
    }
}
