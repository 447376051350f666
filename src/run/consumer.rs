//! Keeps the consumer up to date, beside the owner thread: a slow orchestrator never holds up a pass.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use crate::cluster::Feed;
use crate::consumer::{Consumer, ConsumerError};
use crate::metrics::Metrics;
use crate::model::Configuration;
use crate::settings;
use crate::store::KeyRing;

/// What the store holds now.
pub(super) struct Held {
    pub(super) live: Configuration,
    pub(super) keys: Arc<KeyRing>,
}

/// Starts the thread; whatever is sent is what the consumer is to run with, until something newer is sent.
pub(super) fn start(
    consumer: Consumer,
    metrics: Arc<Metrics>,
    feed: Option<Feed>,
) -> std::io::Result<Sender<Held>> {
    let (sender, news) = channel();
    let tell = move |in_sync| {
        metrics.consumer(in_sync);
        if let Some(feed) = &feed {
            feed.consumer(in_sync);
        }
    };
    std::thread::Builder::new().name("consumer".into()).spawn(move || follow(&consumer, &news, tell))?;
    Ok(sender)
}

fn follow(consumer: &Consumer, news: &Receiver<Held>, tell: impl Fn(bool)) {
    let Ok(mut held) = news.recv() else { return };
    let (mut wait, mut said) = (settings::TELL_AGAIN_FIRST, None);
    loop {
        let told = consumer.bring_up_to(&held.live, held.keys.fingerprinter());
        tell(told.is_ok());
        say(consumer, &told, &mut said);
        let newer = match told {
            Ok(()) => news.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Err(_) => news.recv_timeout(wait),
        };
        match newer {
            Ok(newer) => {
                held = news.try_iter().last().unwrap_or(newer);
                wait = settings::TELL_AGAIN_FIRST;
            }
            Err(RecvTimeoutError::Timeout) => wait = (wait * 2).min(settings::TELL_AGAIN_LIMIT),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Says what changed.
fn say(consumer: &Consumer, told: &Result<(), ConsumerError>, said: &mut Option<String>) {
    let text = told.as_ref().err().map(ToString::to_string).unwrap_or_default();
    if said.as_ref() == Some(&text) {
        return;
    }
    match told {
        Ok(()) => tracing::info!(url = consumer.url(), "the orchestrator runs with what the database holds"),
        Err(error) => tracing::warn!(hint = error.hint(), "{error}; it is told again"),
    }
    *said = Some(text);
}
