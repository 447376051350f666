//! Arguments of `run`.

use std::net::{SocketAddr, ToSocketAddrs as _};

use clap::{Args, ValueEnum};

use super::PolicyArgs;

/// Arguments of `run`.
#[derive(Args, Debug)]
#[command(before_help = "\
Examples:
  oxide-operator run                     with the defaults
  oxide-operator run --source dir:/etc/oxide --on-drift revert
  oxide-operator run --listen off        without the web page
  curl -s http://127.0.0.1:8461/metrics  while it runs")]
pub struct Run {
    /// Where to serve /livez, /readyz and /metrics [default: 127.0.0.1:8461]
    #[arg(long, env = "OXIDE_OPERATOR_LISTEN_HEALTH", value_name = "ADDRESS")]
    pub listen_health: Option<Address>,
    /// Where to serve the web page and the API, or `off` [default: 127.0.0.1:8460]
    #[arg(long, env = "OXIDE_OPERATOR_LISTEN", value_name = "ADDRESS|off")]
    pub listen: Option<Listen>,
    /// A name under which the web page may be asked for, besides localhost; may be given several times
    #[arg(long, env = "OXIDE_OPERATOR_ALLOW_HOST", value_name = "NAME", value_delimiter = ',')]
    pub allow_host: Vec<String>,
    /// The form of the log on stderr [default: text]
    #[arg(long, env = "OXIDE_OPERATOR_LOG_FORMAT", value_enum, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Let accounts of the cluster log in to the page: those that may `get` this agent's `OxideStore` look, those that may
    /// `update` it change. Their tokens are made with `kubectl create token ACCOUNT --audience=oxide-operator`. Needs the
    /// right to ask, `system:auth-delegator`
    #[arg(long, env = "OXIDE_OPERATOR_TOKEN_REVIEW")]
    pub token_review: bool,
    /// The name of this agent's `OxideStore`, for a source in Kubernetes [default: the pod's name, else the host's]
    #[arg(long, env = "OXIDE_OPERATOR_STORE_NAME", value_name = "NAME")]
    pub store_name: Option<String>,
    /// The answers to differences.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// Where the web page is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Listen {
    /// Nowhere.
    Off,
    /// Here.
    At(SocketAddr),
}

impl std::str::FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            address => address
                .parse()
                .map(|Address(address)| Self::At(address))
                .map_err(|why: String| why + ", or off"),
        }
    }
}

/// An address and a port to listen on; a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Address(pub SocketAddr);

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found: Vec<SocketAddr> = match text.parse() {
            Ok(address) => vec![address],
            Err(_) if text.contains(':') => text
                .to_socket_addrs()
                .map_err(|error| format!("`{text}` leads nowhere ({error}); write ADDRESS:PORT"))?
                .collect(),
            Err(_) => Vec::new(),
        };
        // `localhost` is both; who types it into a browser gets either.
        let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
        first.copied().map(Self).ok_or_else(|| "write ADDRESS:PORT".to_owned())
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The forms of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// An object a line.
    Json,
}
