//! The consumer: the orchestrator that runs with what the store holds. It has to be told of a change, and only what it
//! then says of itself proves that it heard.

mod answer;
mod url;

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

use crate::model::{Configuration, Fingerprinter};
use crate::small_file;
pub use url::ReloadUrl;

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// An answer larger than this is not a configuration, in bytes.
const MAX_ANSWER_BYTES: u64 = 256 << 20;

/// A file with a token or a process id is no larger, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// What the path of the orchestrator's reload call ends in; without it the path is that of its configuration.
/// Source: the orchestrator's web API, `POST /api/config/reload` and `GET /api/config/`.
const RELOAD: &str = "/reload";

/// Where the consumer is and how to speak to it.
#[derive(Clone, Debug)]
pub struct Consumer {
    reload: String,
    token: Option<TokenSource>,
    agent: ureq::Agent,
    /// Told by a signal instead, to the process that this file names.
    signal: Option<(PathBuf, rustix::process::Signal)>,
}

/// Where the bearer token comes from.
#[derive(Clone)]
pub enum TokenSource {
    /// A file, read anew for each request: a mounted Secret may change.
    File(PathBuf),
    /// The token itself, from the environment.
    Text(Zeroizing<String>),
}

impl std::fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(_) => f.write_str("Text(••••)"),
        }
    }
}

/// Why the consumer does not run with what the store holds, or why that is not known.
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// Nobody answers.
    #[error("the orchestrator does not answer at {url}: {why}")]
    Unreachable {
        /// What was asked.
        url: String,
        /// What happened.
        why: String,
    },
    /// It answers, and refuses.
    #[error("the orchestrator answers {status} to {url}")]
    Refused {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
    },
    /// What it says of itself is no configuration.
    #[error("the answer of {url} cannot be compared: {why}")]
    NotUnderstood {
        /// What was asked.
        url: String,
        /// Why; never any text of the answer, which holds API keys.
        why: &'static str,
    },
    /// Its bearer token cannot be read.
    #[error("read the orchestrator's token {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It was told, and runs with other values all the same.
    #[error("the orchestrator still runs with other values than the database: {}", named(paths))]
    Differs {
        /// The paths that differ.
        paths: Vec<String>,
    },
}

impl ConsumerError {
    /// What the user can do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "start the orchestrator, or name its address with --reload-url",
            Self::Refused { status: 401 | 403, .. } => {
                "give its bearer token with --reload-token-file or OXIDE_OPERATOR_RELOAD_TOKEN"
            }
            Self::Refused { .. } | Self::NotUnderstood { .. } => {
                "--reload-url is to be the orchestrator's POST /api/config/reload"
            }
            Self::Token { .. } => "check that the file exists and this user may read it",
            Self::Differs { .. } => "restart the orchestrator, and look whether it uses this database",
        }
    }
}

fn named(paths: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = paths.len().saturating_sub(SHOWN);
    let shown = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{shown}, and {more} more") } else { shown }
}

impl Consumer {
    /// Names the consumer by the URL that makes it read the database again.
    pub fn new(reload_url: &ReloadUrl, token: Option<TokenSource>) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build()
            .new_agent();
        Self { reload: reload_url.as_str().to_owned(), token, agent, signal: None }
    }

    /// Whether it is told by a signal, which proves nothing.
    pub fn is_signalled(&self) -> bool {
        self.signal.is_some()
    }

    /// Names the consumer by a file with its process id, and the signal that makes it read the database again: HUP, USR1
    /// or USR2. What it then runs with cannot be asked.
    ///
    /// # Errors
    /// A signal that is none of these.
    pub fn signalled(pid_file: PathBuf, signal: &str) -> Result<Self, String> {
        use rustix::process::Signal;
        let signal = match signal.trim_start_matches("SIG") {
            "HUP" => Signal::HUP,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            other => return Err(format!("`{other}` is not one of HUP, USR1, USR2")),
        };
        let agent = ureq::Agent::config_builder().build().new_agent();
        let reload = pid_file.display().to_string();
        Ok(Self { reload, token: None, agent, signal: Some((pid_file, signal)) })
    }

    /// Where its bearer token comes from, if it wants one.
    pub fn token_source(&self) -> Option<&TokenSource> {
        self.token.as_ref()
    }

    /// The URL that it is told at, or the file that names its process.
    pub fn url(&self) -> &str {
        &self.reload
    }

    /// Makes the consumer run with `live`: asks what it runs with, tells it if that is something else, and asks again.
    ///
    /// # Errors
    /// Why it does not run with it, or why that is not known. Trying again may succeed.
    pub fn bring_up_to(&self, live: &Configuration, print: &Fingerprinter) -> Result<(), ConsumerError> {
        if self.configuration_url().is_some() && self.check(live, print).is_ok() {
            return Ok(());
        }
        self.tell()?;
        self.check(live, print)
    }

    /// Compares what the consumer says it runs with; without a way to ask, nothing is wrong.
    ///
    /// # Errors
    /// See [`bring_up_to`](Self::bring_up_to).
    pub fn check(&self, live: &Configuration, print: &Fingerprinter) -> Result<(), ConsumerError> {
        let Some(url) = self.configuration_url() else { return Ok(()) };
        let request = self.authorised(self.agent.get(&url))?;
        let mut response = accepted(&url, request.call())?;
        let text = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_string();
        let text = Zeroizing::new(text.map_err(|error| unreachable(&url, &error))?);
        let paths = answer::differences(&text, live, print)
            .map_err(|why| ConsumerError::NotUnderstood { url, why })?;
        if paths.is_empty() { Ok(()) } else { Err(ConsumerError::Differs { paths }) }
    }

    fn tell(&self) -> Result<(), ConsumerError> {
        if let Some((pid_file, signal)) = &self.signal {
            return send(pid_file, *signal);
        }
        let request = self.authorised(self.agent.post(&self.reload))?;
        accepted(&self.reload, request.send_empty()).map(|_| ())
    }

    fn configuration_url(&self) -> Option<String> {
        if self.signal.is_some() {
            return None;
        }
        self.reload.strip_suffix(RELOAD).map(|configuration| format!("{configuration}/"))
    }

    fn authorised<B>(
        &self,
        request: ureq::RequestBuilder<B>,
    ) -> Result<ureq::RequestBuilder<B>, ConsumerError> {
        Ok(match self.token()? {
            Some(token) => request.header("Authorization", format!("Bearer {}", *token)),
            None => request,
        })
    }

    fn token(&self) -> Result<Option<Zeroizing<String>>, ConsumerError> {
        match &self.token {
            None => Ok(None),
            Some(TokenSource::Text(token)) => Ok(Some(token.clone())),
            Some(TokenSource::File(path)) => {
                let text = small_file::read_text(path, MAX_FILE_BYTES);
                let text = text.map_err(|source| ConsumerError::Token { path: path.clone(), source })?;
                if text.trim().is_empty() {
                    let source = std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is empty");
                    return Err(ConsumerError::Token { path: path.clone(), source });
                }
                Ok(Some(Zeroizing::new(text.trim().to_owned())))
            }
        }
    }
}

/// Signals the process that a file names.
fn send(pid_file: &std::path::Path, signal: rustix::process::Signal) -> Result<(), ConsumerError> {
    let gone = |why: String| ConsumerError::Unreachable { url: pid_file.display().to_string(), why };
    let text = small_file::read_text(pid_file, MAX_FILE_BYTES).map_err(|error| gone(error.to_string()))?;
    let pid = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
    // Below 1 are groups of processes, and 1 is everybody's parent unless we share a pod.
    let pid =
        pid.filter(|pid| pid.as_raw_nonzero().get() > 0).ok_or_else(|| gone("holds no process id".into()))?;
    rustix::process::kill_process(pid, signal).map_err(|error| gone(error.to_string()))
}

type Response = ureq::http::Response<ureq::Body>;

fn accepted(url: &str, answered: Result<Response, ureq::Error>) -> Result<Response, ConsumerError> {
    let response = answered.map_err(|error| unreachable(url, &error))?;
    if response.status().is_success() {
        return Ok(response);
    }
    Err(ConsumerError::Refused { url: url.to_owned(), status: response.status().as_u16() })
}

fn unreachable(url: &str, error: &ureq::Error) -> ConsumerError {
    ConsumerError::Unreachable { url: url.to_owned(), why: error.to_string() }
}
