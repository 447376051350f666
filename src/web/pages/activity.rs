//! What happened since the program began: each pass that found something new.

use askama::Template;

use super::frame::Frame;
use super::overview::Happened;
use super::{Page, shown};
use crate::web::asked::Asked;

#[derive(Template)]
#[template(path = "activity.html", config = "src/web/askama.toml")]
struct Activity {
    frame: Frame,
    events: Vec<Happened>,
}

pub(super) async fn page(asked: Asked) -> Page {
    let frame = Frame::of(&asked, "Activity", "activity").await;
    let events = asked.site.board.events_after(0).iter().rev().map(Happened::from).collect();
    Ok(shown(&Activity { frame, events }))
}
