//! Who may come in: a bearer token for programs, a session for browsers.
//!
//! The token is made on the first run, beside the database, for this user's eyes only. A browser shows it once, or comes
//! by the link that `run` prints on a terminal, which is good for one login. After that it carries a signed session, never the token.

#![expect(clippy::disallowed_methods, reason = "the token is a file")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::cluster::Reviewer;
use crate::settings;
use crate::small_file;
use crate::store::{StoreError, files};

/// How the name of the cookie that holds the session begins.
const COOKIE: &str = "oxide_session";

/// Somebody who was let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Caller {
    /// The name for the history; empty where none was given.
    pub(crate) name: String,
    /// Whether a browser's cookie let them in, so that other sites could try to use it.
    pub(crate) by_cookie: bool,
    /// Whether they may look and not change: who has the token of the file may do both.
    pub(crate) read_only: bool,
}

/// The token's file.
#[derive(Debug)]
pub(crate) struct TokenFile {
    path: PathBuf,
    /// The last text that was read, for while the file is away.
    last: Mutex<Zeroizing<String>>,
}

/// Lets people in.
#[derive(Debug)]
pub(crate) struct Login {
    token: TokenFile,
    /// Knows the accounts of a cluster, where that was asked for.
    reviewer: Option<Reviewer>,
    /// The code of the printed link, until it is used, and until when.
    code: Mutex<Option<(Zeroizing<String>, Instant)>>,
    /// Since when failures are counted, and how many there were.
    failures: Mutex<(Instant, u32)>,
    ended: Mutex<Ended>,
}

/// The sessions that somebody ended, by their signature, and when they would have ended by themselves.
#[derive(Debug, Default)]
struct Ended(BTreeMap<Vec<u8>, u64>);

impl Login {
    /// Reads the token beside a database, or makes one.
    ///
    /// # Errors
    /// A file that can be neither read nor written.
    pub(crate) fn beside(database: &Path, reviewer: Option<Reviewer>) -> Result<Self, StoreError> {
        let path = database.with_file_name(settings::TOKEN_FILE);
        let text = if let Some(text) = read_token(&path) {
            text
        } else {
            let text = random();
            files::create_folder(path.parent().unwrap_or(Path::new(".")))?;
            files::write_private(&path, format!("{}\n", *text).as_bytes())?;
            text
        };
        let token = TokenFile { path, last: Mutex::new(text) };
        Ok(Self {
            token,
            reviewer,
            code: Mutex::default(),
            failures: Mutex::new((Instant::now(), 0)),
            ended: Mutex::default(),
        })
    }

    /// The file that holds the token.
    pub(crate) fn token_file(&self) -> &Path {
        &self.token.path
    }

    /// The name of the cookie that holds the session. Browsers keep cookies by host, whatever the port: with one name for
    /// all, a login to a second agent would end that of the first.
    pub(crate) fn cookie(&self) -> String {
        let mut mac = keyed(self.token.present().as_bytes());
        mac.update(b"oxide-operator cookie v1");
        let digest = mac.finalize().into_bytes();
        let suffix: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{COOKIE}_{suffix}")
    }

    /// Makes the code of a link to print; there is none as long as nobody asked for one.
    pub(crate) fn new_link_code(&self) -> Zeroizing<String> {
        let code = random();
        let until = Instant::now() + settings::LOGIN_LINK_FOR;
        *self.code.lock().unwrap_or_else(PoisonError::into_inner) = Some((code.clone(), until));
        code
    }

    /// Whether a bearer token is the right one.
    pub(crate) fn admits(&self, token: &str) -> bool {
        let present = self.token.present();
        same(token.trim().as_bytes(), present.as_bytes(), present.as_bytes())
    }

    /// Whether tokens of a cluster's accounts let somebody in, too.
    pub(crate) fn knows_accounts(&self) -> bool {
        self.reviewer.is_some()
    }

    /// Whose a token is; none for one that lets nobody in.
    ///
    /// # Errors
    /// Why the API server could not be asked.
    pub(crate) async fn recognise(&self, token: &str) -> Result<Option<Caller>, String> {
        if self.admits(token) {
            return Ok(Some(Caller::default()));
        }
        let Some(reviewer) = &self.reviewer else { return Ok(None) };
        let known = reviewer.review(token.trim()).await?;
        Ok(known.map(|it| Caller { name: it.name, by_cookie: false, read_only: !it.may_write }))
    }

    /// Uses the code of the printed link up.
    pub(crate) fn redeem(&self, code: &str) -> bool {
        let mut held = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        let good = held.as_ref().is_some_and(|(known, until)| {
            Instant::now() < *until && same(code.as_bytes(), known.as_bytes(), known.as_bytes())
        });
        if good {
            *held = None;
        }
        good
    }

    /// Whether so many attempts failed lately that whoever failed is told to wait; counts the one that just failed. Who has
    /// a good token is let in all the same: one who guesses must not shut others out.
    pub(crate) fn failed_too_often(&self) -> bool {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.0.elapsed() > Duration::from_mins(1) {
            *failures = (Instant::now(), 0);
        }
        failures.1 = failures.1.saturating_add(1);
        failures.1 > settings::MAX_LOGIN_FAILURES
    }

    /// Begins a session; returns the cookie's value.
    pub(crate) fn session(&self, caller: &Caller, lasts: Duration) -> String {
        let until = now() + lasts.as_secs();
        let rights = if caller.read_only { "r" } else { "w" };
        // No two logins are one session: whoever ends his own ends no other.
        let (name, unique) = (URL_SAFE_NO_PAD.encode(&caller.name), random());
        let claim = format!("{until}.{rights}.{name}.{}", &unique[..16]);
        let signature = URL_SAFE_NO_PAD.encode(self.sign(&claim).finalize().into_bytes());
        format!("{claim}.{signature}")
    }

    /// Whose session a cookie is, while it lasts.
    pub(crate) fn caller(&self, cookie: &str) -> Option<Caller> {
        self.present_session(cookie).map(|session| session.caller)
    }

    /// Ends a session before its time.
    pub(crate) fn end(&self, cookie: &str) {
        if let Some(Session { until, signature, .. }) = self.present_session(cookie) {
            self.ended.lock().unwrap_or_else(PoisonError::into_inner).add(signature, until);
        }
    }

    fn present_session(&self, cookie: &str) -> Option<Session> {
        let (claim, signature) = cookie.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        self.sign(claim).verify_slice(&signature).ok()?;
        let mut parts = claim.split('.');
        let (until, rights, name) = (parts.next()?, parts.next()?, parts.next()?);
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        let until: u64 = until.parse().ok()?;
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).0.contains_key(&signature);
        let caller = Caller { name, by_cookie: true, read_only: rights != "w" };
        (until > now() && !ended).then_some(Session { caller, until, signature })
    }

    /// Sessions end with the token: another one signs otherwise.
    fn sign(&self, claim: &str) -> Hmac<Sha256> {
        let mut mac = keyed(self.token.present().as_bytes());
        mac.update(b"oxide-operator session v1\0");
        mac.update(claim.as_bytes());
        mac
    }
}

/// A session that lasts.
struct Session {
    caller: Caller,
    until: u64,
    signature: Vec<u8>,
}

impl Ended {
    /// Forgets what is over by itself, and beyond that what will be over first.
    fn add(&mut self, signature: Vec<u8>, until: u64) {
        let now = now();
        self.0.retain(|_, until| *until > now);
        if self.0.len() >= settings::MAX_ENDED_SESSIONS {
            let first =
                self.0.iter().min_by_key(|(_, until)| **until).map(|(signature, _)| signature.clone());
            first.map(|first| self.0.remove(&first));
        }
        self.0.insert(signature, until);
    }
}

impl TokenFile {
    /// The token as the file has it now: writing another one there shuts everybody out at once.
    fn present(&self) -> Zeroizing<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = read_token(&self.path) {
            *last = text;
        }
        last.clone()
    }
}

/// The token of a database's page, once there is one.
pub(crate) fn token_beside(database: &Path) -> Option<Zeroizing<String>> {
    read_token(&database.with_file_name(settings::TOKEN_FILE))
}

fn read_token(path: &Path) -> Option<Zeroizing<String>> {
    let text = small_file::read_text(path, settings::MAX_TOKEN_FILE_BYTES).ok()?;
    let token = text.trim();
    // A file that is emptied must not let everybody in.
    (token.len() >= settings::MIN_TOKEN_BYTES).then(|| Zeroizing::new(token.to_owned()))
}

/// Compares under a MAC, so that the time tells nothing of where two texts begin to differ.
fn same(one: &[u8], two: &[u8], key: &[u8]) -> bool {
    let mac = |text: &[u8]| {
        let mut mac = keyed(key);
        mac.update(text);
        mac
    };
    mac(one).verify_slice(&mac(two).finalize().into_bytes()).is_ok()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts keys of any length")
}

/// 32 random bytes as text.
fn random() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).expect("the system has random bytes");
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> (tempfile::TempDir, Login) {
        let folder = tempfile::tempdir().expect("a folder");
        let login = Login::beside(&folder.path().join("store.db"), None).expect("made");
        (folder, login)
    }

    #[test]
    fn the_token_is_for_this_user_only_and_stays_the_same() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, login) = login();
        let text = std::fs::read_to_string(login.token_file()).expect("written");
        let mode = std::fs::metadata(login.token_file()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Login::beside(&folder.path().join("store.db"), None).expect("read").admits(&text));
        assert!(!login.admits("") && !login.admits("wrong") && !login.admits(&text[1..]));
    }

    #[test]
    fn the_token_is_found_beside_its_database_once_it_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = folder.path().join("store.db");
        assert!(token_beside(&database).is_none());
        let login = Login::beside(&database, None).expect("made");
        assert!(login.admits(&token_beside(&database).expect("there")));
    }

    #[test]
    fn a_link_is_good_for_one_login() {
        let (_folder, login) = login();
        assert!(!login.redeem(""), "no link was asked for");
        let code = login.new_link_code();
        assert!(!login.redeem("other"));
        assert!(login.redeem(&code));
        assert!(!login.redeem(&code));
    }

    #[test]
    fn a_session_is_whose_it_says_and_ends_with_the_token() {
        let (_folder, login) = login();
        let zoe = Caller { name: "Zoë".into(), by_cookie: true, read_only: true };
        let cookie = login.session(&zoe, settings::SESSION_FOR);
        assert_eq!(login.caller(&cookie), Some(zoe));
        let stronger = cookie.replacen(".r.", ".w.", 1);
        assert!(login.caller(&stronger).is_none(), "nobody gives himself rights");
        for forged in [cookie.replacen('1', "2", 1), format!("{cookie}A"), String::new(), "a.b.c".into()] {
            assert!(forged == cookie || login.caller(&forged).is_none(), "{forged}");
        }
        std::fs::write(login.token_file(), "another-token-that-is-long-enough-0123456789").expect("written");
        assert!(login.caller(&cookie).is_none());
    }

    #[test]
    fn a_session_that_was_ended_is_over_and_no_other_is() {
        let (_folder, login) = login();
        let [one, two] = [(); 2].map(|()| login.session(&Caller::default(), settings::SESSION_FOR));
        login.end(&one);
        assert_eq!((login.caller(&one), login.caller(&two).is_some()), (None, true));
        for more in 0..2 * settings::MAX_ENDED_SESSIONS {
            login.ended.lock().expect("whole").add(more.to_be_bytes().to_vec(), now() + 60);
        }
        assert_eq!(login.ended.lock().expect("whole").0.len(), settings::MAX_ENDED_SESSIONS);
        assert!(login.caller(&one).is_none(), "those that last longest are remembered");
    }

    #[test]
    fn two_agents_on_one_host_have_cookies_of_their_own() {
        let ((_one_folder, one), (_two_folder, two)) = (login(), login());
        assert_ne!(one.cookie(), two.cookie());
        assert_eq!(one.cookie(), one.cookie());
    }

    #[test]
    fn a_session_ends_by_itself() {
        let (_folder, login) = login();
        let cookie = login.session(&Caller::default(), Duration::ZERO);
        assert!(login.caller(&cookie).is_none());
    }

    #[test]
    fn an_emptied_file_lets_nobody_in() {
        let (_folder, login) = login();
        let text = std::fs::read_to_string(login.token_file()).expect("written");
        std::fs::write(login.token_file(), "").expect("written");
        assert!(!login.admits(""));
        assert!(login.admits(&text), "the last good one counts until there is another");
    }
}
