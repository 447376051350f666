//! Defaults of our own settings, each with its unit and reason.

use std::time::Duration;

/// The source when none is named.
pub const DEFAULT_SOURCE: &str = "file:config/default.yaml";

/// The database when none is named, below the home folder: where the orchestrator keeps it.
pub const DEFAULT_STORE: &str = ".oxide/config.db";

/// The settings when none are named, below the home folder.
pub const DEFAULT_SETTINGS: &str = ".oxide/operator.yaml";

/// Where `run` serves health and metrics when not told otherwise.
pub const DEFAULT_HEALTH_ADDRESS: &str = "127.0.0.1:8461";

/// Between two full comparisons when no event asks for one. Events do the work; this catches what they miss.
pub const FULL_COMPARISON_EVERY: Duration = Duration::from_mins(5);

/// The share by which that interval varies, so that many agents do not compare at the same moment.
pub const FULL_COMPARISON_JITTER: f64 = 0.2;

/// How long an in-place write must be quiet after the file was closed: a program that writes in two steps is
/// not caught between them.
pub const SETTLE_AFTER_CLOSE: Duration = Duration::from_millis(10);

/// How long a file must be unchanged to be read when no event told of it: an event may be on its way.
pub const SETTLE_UNHEARD: Duration = Duration::from_millis(100);

/// How long a file that is written and never closed must be quiet before it is read all the same.
pub const SETTLE_WITHOUT_CLOSE: Duration = Duration::from_secs(2);

/// When to look at the database again after an event, counted from it. The event comes before the commit is
/// visible, and a change seen may be the previous one, so the ladder is always climbed to its end. Its last rungs
/// are for disks that are slow to sync.
pub const LADDER: &[Duration] = &[
    Duration::ZERO,
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(400),
    Duration::from_micros(700),
    Duration::from_millis(1),
    Duration::from_micros(1_500),
    Duration::from_millis(2),
    Duration::from_millis(3),
    Duration::from_millis(4),
    Duration::from_millis(6),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// How often the database is looked at when its folder cannot be watched.
pub const POLL_STORE_EVERY: Duration = Duration::from_millis(100);

/// Between two looks at the database's commit counter when nothing was heard: catches an event that never came.
pub const SAFETY_POLL_EVERY: Duration = Duration::from_mins(1);

/// How often the source is looked at when its folder cannot be watched, or is not there.
pub const POLL_SOURCE_EVERY: Duration = Duration::from_secs(1);

/// How often a file is read that lies where neither events nor times tell of a change.
pub const POLL_CONTENT_EVERY: Duration = Duration::from_secs(2);

/// How long after a failed pass the next one is tried: doubled each time, up to the limit.
pub const RETRY_FIRST: Duration = Duration::from_millis(200);

/// The longest time between two tries.
pub const RETRY_LIMIT: Duration = Duration::from_secs(30);

/// How long after the orchestrator was told in vain it is told again: doubled each time, up to the limit.
pub const TELL_AGAIN_FIRST: Duration = Duration::from_millis(500);

/// The longest time between two calls to an orchestrator that does not follow.
pub const TELL_AGAIN_LIMIT: Duration = Duration::from_mins(1);

/// After how long `run` backs up what no backup has, in seconds.
pub const BACKUP_EVERY_SECONDS: f64 = 86_400.0;

/// So many edits of another program get an entry each in the history at once, and then one in every interval: what is
/// edited meanwhile is one entry.
pub const EDIT_ENTRIES_AT_ONCE: u32 = 30;

/// That interval.
pub const EDIT_ENTRIES_EVERY: Duration = Duration::from_secs(1);

/// From which size on the write-ahead log is written back by us, when nobody else does it.
pub const CHECKPOINT_WAL_BYTES: u64 = 4 << 20;

/// How long after the API server did not answer it is asked again: doubled each time, up to the limit.
pub const ASK_API_FIRST: Duration = Duration::from_millis(200);

/// The longest time between two tries to reach the API server.
pub const ASK_API_LIMIT: Duration = Duration::from_secs(10);

/// How long a watch may be silent: the API server ends each before, and sends a sign of life every minute.
pub const API_SILENT_FOR: Duration = Duration::from_secs(295);

/// How long a call to the API server may take.
pub const API_ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// How long a promotion may take: meanwhile the owner of the store waits.
pub const PROMOTED_WITHIN: Duration = Duration::from_secs(10);

/// At most this many Secrets are followed for one source: each costs a connection.
pub const MAX_SECRETS: usize = 64;

/// After so many refusals of this account in a row, the login is read anew: a token or a kubeconfig may have been replaced.
pub const LOGIN_AFTER: u32 = 3;

/// Between two writes of one `OxideStore`: a burst of passes is one status.
pub const STATUS_AT_MOST_EVERY: Duration = Duration::from_millis(500);

/// Between two writes of an `OxideConfig`'s status, at least.
pub const SUM_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// How long the Lease of an agent that is gone keeps others waiting.
pub const LEASE_LASTS: Duration = Duration::from_secs(15);

/// How long an agent that was told to stop tries to give its Lease up.
pub const LEAVE_WITHIN: Duration = Duration::from_secs(1);

/// How often the Lease is renewed: two renewals may fail.
pub const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(5);

/// Where `run` serves the web page and the API when not told otherwise.
pub const DEFAULT_WEB_ADDRESS: &str = "127.0.0.1:8460";

/// The largest body of an API request, in bytes: a configuration of 10,000 services.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// The largest form of a page, in bytes.
pub const MAX_FORM_BYTES: usize = 256 << 10;

/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// How long the head of a request may take to arrive.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest head of a request, in bytes.
pub const MAX_HEADER_BYTES: usize = 64 << 10;

/// Connections to the page at once; one more closes the oldest. Browsers hold up to six each.
pub const MAX_CONNECTIONS: usize = 1_024;

/// Requests under way at once; one more is turned away.
pub const MAX_REQUESTS: usize = 768;

/// Requests under way at once of those who are not logged in; one more ends the oldest. Apart from the others, so that
/// nobody who is unknown takes a place from somebody who is not.
pub const MAX_STRANGERS: usize = 256;

/// Ended sessions that are remembered until they would have ended by themselves.
pub const MAX_ENDED_SESSIONS: usize = 4_096;

/// Writes that may wait for the owner of the store; one more is turned away.
pub const MAX_WAITING_WRITES: usize = 64;

/// Writes in a second over a longer time: each takes a backup.
pub const WRITES_PER_SECOND: f64 = 50.0;

/// Writes at once after a pause.
pub const WRITES_AT_ONCE: f64 = 200.0;

/// After a connection could not be taken.
pub const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How often a quiet event stream asks whether its session still lasts.
pub const ASK_AGAIN_WHO_LISTENS: Duration = Duration::from_secs(5);

/// Connections to health and metrics at once; one more closes the oldest. A probe and two scrapers need three.
pub const MAX_HEALTH_CONNECTIONS: usize = 32;

/// The largest head of a request for health and metrics, in bytes; the least that hyper takes.
pub const MAX_HEALTH_HEADER_BYTES: usize = 8 << 10;

/// How long a connection to health and metrics may be silent.
pub const HEALTH_HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Between two signs of life on a quiet event stream: proxies close what says nothing for a minute.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// For how long the printed link lets one person in.
pub const LOGIN_LINK_FOR: Duration = Duration::from_mins(15);

/// How long a login lasts: a shift.
pub const SESSION_FOR: Duration = Duration::from_hours(12);

/// How long a login of a cluster's account lasts: then its rights are looked up again.
pub const ACCOUNT_SESSION_FOR: Duration = Duration::from_hours(1);

/// A shorter text is no token.
pub const MIN_TOKEN_BYTES: usize = 16;

/// Whom a token of a cluster's account must be meant for. One that was given to another service lets nobody in here.
pub const TOKEN_AUDIENCE: &str = "oxide-operator";

/// Wrong tokens in a minute, after which the next wrong ones are told to wait.
pub const MAX_LOGIN_FAILURES: u32 = 20;

/// How long a view of the database is kept for the next reader.
pub const FORGET_VIEW_AFTER: Duration = Duration::from_secs(30);

/// Nothing that this server says may be kept by a browser or a proxy, but for its own files.
pub const NO_STORE: &str = "no-store";

/// Where a container finds the secrets that somebody gave it: a source may always name files there.
pub const SECRET_FOLDERS: &[&str] = &["/run/secrets", "/var/run/secrets"];

/// The file beside the database that holds the token of the page and the API.
pub const TOKEN_FILE: &str = "web.token";

/// After how long at work the owner of the store counts as stuck. A pass over 100,000 services takes a few seconds.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The file with the page's token is no larger, in bytes.
pub const MAX_TOKEN_FILE_BYTES: u64 = 16 << 10;

/// `operator.yaml` is no larger, in bytes.
pub const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// A saved plan is no larger, in bytes: that of the largest source has about 30 MB.
pub const MAX_PLAN_BYTES: u64 = 256 << 20;

/// How long `run` waits for the pass under way when it is told to stop.
pub const STOP_WITHIN: Duration = Duration::from_millis(1_500);

/// When it ends at the latest once it was told to, whatever holds it up: two seconds are promised.
pub const END_WITHIN: Duration = Duration::from_millis(1_900);
