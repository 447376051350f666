//! Server-Sent Events: a line for each thing that happens, to whoever listens.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event as Line, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, Stream};

use super::asked::Asked;
use super::board::Event;
use super::guard;
use super::problem::Problem;
use super::site::Site;
use crate::settings;

/// The header by which a client says what it heard last.
const LAST: &str = "last-event-id";

/// Streams events for as long as whoever asked may still come in, beginning behind the last one that the client heard. One that says nothing hears the newest first.
pub(crate) async fn events(asked: Asked) -> Result<Response, Problem> {
    asked.query(&[])?;
    let newest = asked.site.board.events_after(0).last().map_or(0, |event| event.number);
    let last = asked.headers.get(LAST).and_then(|value| value.to_str().ok()?.parse().ok());
    // A number from before a restart is no number of ours.
    let heard = last.filter(|number| *number <= newest).unwrap_or(newest.saturating_sub(1));
    let keep_alive = KeepAlive::new().interval(settings::KEEP_ALIVE_EVERY);
    Ok(Sse::new(lines(asked.site, asked.headers, heard)).keep_alive(keep_alive).into_response())
}

fn lines(site: Site, headers: HeaderMap, heard: u64) -> impl Stream<Item = Result<Line, Infallible>> {
    let numbers = site.board.numbers();
    stream::unfold(
        (site, headers, numbers, heard, Vec::new()),
        |(site, headers, mut numbers, mut heard, mut waiting)| async move {
            while waiting.is_empty() {
                numbers.borrow_and_update();
                waiting = site.board.events_after(heard);
                waiting.reverse();
                if waiting.is_empty() {
                    // Whether the session is over is asked while nothing happens, too.
                    let news = tokio::time::timeout(settings::ASK_AGAIN_WHO_LISTENS, numbers.changed());
                    if matches!(news.await, Ok(Err(_))) {
                        return None;
                    }
                }
                if !matches!(guard::caller(&site, &headers).await, Ok(Some(_))) {
                    return None;
                }
            }
            let event = waiting.pop()?;
            heard = event.number;
            Some((Ok(line(&event)), (site, headers, numbers, heard, waiting)))
        },
    )
}

fn line(event: &Event) -> Line {
    let text = serde_json::to_string(event).unwrap_or_default();
    Line::default().id(event.number.to_string()).event("pass").retry(Duration::from_secs(1)).data(text)
}
