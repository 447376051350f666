//! `reload`: tell the orchestrator of what the database holds, and ask what it runs with.

use anyhow::Result;

use super::context::{Context, error_with_help};
use super::{Exit, output};
use crate::consumer::{Consumer, ConsumerError};
use crate::store::Access;

pub(super) fn run(context: &Context) -> Result<Exit> {
    let Some(consumer) = &context.consumer else {
        return Err(error_with_help(
            "no orchestrator is named",
            "name its call: --reload-url http://127.0.0.1:8000/api/config/reload",
        ));
    };
    match bring_up_to_store(context, consumer)? {
        Ok(()) if consumer.is_signalled() => {
            output::result(
                "The signal was sent; whether the orchestrator runs with what the database holds, nobody can tell.",
            );
            Ok(Exit::Ok)
        }
        Ok(()) => {
            output::result(format!(
                "✅ The orchestrator at {} runs with what the database holds",
                consumer.url()
            ));
            Ok(Exit::Ok)
        }
        Err(error @ ConsumerError::Differs { .. }) => {
            output::error(error.to_string(), Some(error.hint()));
            Ok(Exit::Differences)
        }
        Err(error) => Err(error_with_help(error.to_string(), error.hint())),
    }
}

/// After a write: tells the orchestrator, when it is known. The write stands whatever it answers.
pub(super) fn after_write(context: &Context) {
    let Some(consumer) = &context.consumer else { return };
    match bring_up_to_store(context, consumer) {
        Ok(Ok(())) if consumer.is_signalled() => {
            output::note("The signal was sent; whether the orchestrator runs with it, nobody can tell.");
        }
        Ok(Ok(())) => output::note("The orchestrator runs with it."),
        Ok(Err(error)) => output::note(format!("warning: {error}\n  help: {}", error.hint())),
        Err(error) => output::note(format!("warning: the orchestrator was not told: {error}")),
    }
}

fn bring_up_to_store(context: &Context, consumer: &Consumer) -> Result<Result<(), ConsumerError>> {
    let mut store = context.store(Access::Read)?;
    let live = store.read()?.live;
    Ok(consumer.bring_up_to(&live, store.keys().fingerprinter()))
}
