//! Standing by: an agent that does not hold the database watches and compares, writes nothing, and takes over when the
//! one that holds it ends.

use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime};

use super::agent::Agent;
use super::{RunError, Wake};
use crate::model::AgentHolder;
use crate::report::Failure;
use crate::source::SourceSpec;
use crate::store::{AgentLock, Store, Taken, agent_of};

/// What this agent may do with the database.
#[derive(Debug)]
pub(super) enum Role {
    /// It holds the database, and writes.
    Holding(AgentLock),
    /// Another agent does.
    StandingBy(AgentHolder),
}

impl Role {
    /// Takes the database, or begins to wait for it: whoever waits is woken by the lock itself.
    pub(super) fn take(
        store: &mut Store,
        source: &SourceSpec,
        wakes: &Sender<Wake>,
    ) -> Result<Self, RunError> {
        let me = this_agent(source);
        match AgentLock::try_take(store.path(), &me)? {
            Taken::Lock(lock) => {
                finish_rotation(store)?;
                Ok(Self::Holding(lock))
            }
            Taken::By(holder) => {
                tracing::warn!(%holder, "another agent has this database: standing by, and writing nothing");
                wait(store.path(), me, wakes.clone())?;
                Ok(Self::StandingBy(holder))
            }
        }
    }

    /// Finds out how it stands now: the file of the lock may have been removed or replaced, and another one of those that
    /// waited may have come first.
    pub(super) fn look_again(&mut self, store: &mut Store, source: &SourceSpec, wakes: &Sender<Wake>) {
        match self {
            Self::Holding(lock) if !lock.is_in_place() => {
                tracing::warn!("the file of the lock was removed or replaced: it is taken again");
                match Self::take(store, source, wakes) {
                    Ok(role) => *self = role,
                    Err(error) => tracing::error!(%error, "the lock cannot be taken again"),
                }
            }
            Self::Holding(_) => {}
            Self::StandingBy(holder) => {
                if let Ok(Some(now)) = agent_of(store.path())
                    && now != *holder
                {
                    tracing::warn!(holder = %now, "another agent took over this database: standing by for it");
                    *holder = now;
                }
            }
        }
    }

    /// Whom this agent waits for; none for the one that writes.
    pub(super) fn waits_for(&self) -> Option<&AgentHolder> {
        match self {
            Self::Holding(_) => None,
            Self::StandingBy(holder) => Some(holder),
        }
    }
}

fn finish_rotation(store: &mut Store) -> Result<(), RunError> {
    if let Some(resumed) = store.finish_rotation(SystemTime::now())? {
        tracing::warn!(?resumed, "a key rotation had been interrupted");
    }
    Ok(())
}

/// Waits for the lock apart from the owner of the store, who goes on watching.
fn wait(database: &Path, me: AgentHolder, wakes: Sender<Wake>) -> std::io::Result<()> {
    let database = database.to_owned();
    std::thread::Builder::new().name("stand-by".into()).spawn(move || {
        match AgentLock::wait(&database, &me) {
            // An owner that is gone drops the lock with the message.
            Ok(lock) => drop(wakes.send(Wake::Lock(lock))),
            Err(error) => tracing::error!(%error, "the database cannot be waited for"),
        }
    })?;
    Ok(())
}

fn this_agent(source: &SourceSpec) -> AgentHolder {
    AgentHolder {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        pid: std::process::id(),
        source: crate::place::absolute_source(&source.to_string()),
        since: jiff::Timestamp::try_from(SystemTime::now())
            .map_or_else(|_| "unknown".to_owned(), |now| now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
    }
}

impl Agent {
    /// Whether this agent may write: it holds the database, and no object asks it to write nothing.
    pub(super) fn may_write(&self) -> bool {
        self.role.waits_for().is_none() && !self.is_suspended()
    }

    /// Goes on as the agent that holds the database: everything is looked at again, and the key read again.
    pub(super) fn take_over(&mut self, lock: AgentLock) {
        self.role = Role::Holding(lock);
        tracing::info!("took over the database");
        self.store.close();
        if let Err(error) = self.store.reload_keys(&self.options.keys) {
            tracing::warn!(%error, "the keys could not be read again");
        }
        if let Err(error) = finish_rotation(&mut self.store) {
            tracing::warn!(%error, "an interrupted key rotation could not be finished");
        }
        self.source.known = None;
        self.rearm();
        self.schedule.force(Instant::now());
    }

    /// Why an order is not carried out while another agent holds the database.
    pub(super) fn refusal_of_stand_by(&self) -> Option<Failure> {
        let holder = self.role.waits_for()?;
        Some(Failure {
            reason: "standing_by",
            message: format!("this agent stands by for {holder}; it writes nothing"),
            hint: Some("use the page of that agent, or end it: this one then takes over".to_owned()),
            transient: true,
        })
    }
}
