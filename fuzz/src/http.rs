//! Any request to the page and the API is answered, and never with a fault of the server.
//!
//! An input is a request as HTTP/1.1 writes it, with line feeds alone; `TOKEN` in its head stands for the token.

use std::cell::RefCell;

use oxide_operator::fuzzing::Page;

use super::world::{World, at_work};

/// Of the sample; no answer shows one.
const PLAIN_KEY: &str = "sk-or-v1-";

thread_local! {
    static PAGE: RefCell<Option<(World, Page)>> = const { RefCell::new(None) };
}

pub(crate) fn target(data: &[u8]) {
    PAGE.with_borrow_mut(|held| {
        let (_, page) = held.get_or_insert_with(|| {
            let world = World::of_sample();
            let page = Page::of(world.folder(), &world.file("config.db")).expect("a page");
            (world, page)
        });
        let before = at_work();
        let Some(answer) = page.answer(data) else { return };
        let took = at_work().saturating_sub(before);
        assert!(took.as_secs() < 5, "answering took {took:?}");
        assert!(answer.status < 500 || answer.status == 503, "{answer:?}");
        let body = String::from_utf8_lossy(&answer.body);
        // The answer to HEAD is the head of one.
        if answer.content_type.contains("json") && !data.starts_with(b"HEAD ") {
            assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_ok(), "no JSON: {body}");
        }
        let asked = String::from_utf8_lossy(data);
        assert!(asked.contains(PLAIN_KEY) || !body.contains(PLAIN_KEY), "an API key is shown: {body}");
        if page.wrote() {
            *held = None;
        }
    });
}
