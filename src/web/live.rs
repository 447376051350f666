//! Server-Sent Events: a line for each thing that happens, to whoever listens.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};

use super::asked::Asked;
use super::board::Event;
use super::problem::Problem;
use super::site::Site;
use crate::settings;

/// The header by which a client says what it heard last.
const LAST: &str = "last-event-id";

/// Streams events, beginning behind the last one that the client heard. One that says nothing hears the newest first.
pub(crate) async fn events(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let newest = asked.site.board.events_after(0).last().map_or(0, |event| event.number);
    let last = asked.headers.get(LAST).and_then(|value| value.to_str().ok()?.parse().ok());
    // A number from before a restart is no number of ours.
    let heard = last.filter(|number| *number <= newest).unwrap_or(newest.saturating_sub(1));
    let keep_alive = KeepAlive::new().interval(settings::KEEP_ALIVE_EVERY);
    Ok(Sse::new(lines(asked.site.clone(), heard)).keep_alive(keep_alive).into_response())
}

fn lines(site: Site, heard: u64) -> impl Stream<Item = Result<Line, Infallible>> {
    let numbers = site.board.numbers();
    stream::unfold(
        (site, numbers, heard, Vec::new()),
        |(site, mut numbers, mut heard, mut waiting)| async move {
            while waiting.is_empty() {
                numbers.borrow_and_update();
                waiting = site.board.events_after(heard);
                waiting.reverse();
                if waiting.is_empty() && numbers.changed().await.is_err() {
                    return None;
                }
            }
            let event = waiting.pop()?;
            heard = event.number;
            Some((Ok(line(&event)), (site, numbers, heard, waiting)))
        },
    )
}

fn line(event: &Event) -> Line {
    let text = serde_json::to_string(event).unwrap_or_default();
    Line::default().id(event.number.to_string()).event("pass").retry(Duration::from_secs(1)).data(text)
}
