//! A saved plan is read, or it is said why not.

use std::fs;
use std::sync::OnceLock;

use oxide_operator::fuzzing::saved_plan;

use super::world::{World, in_proportion};

pub(crate) fn target(data: &[u8]) {
    static WORLD: OnceLock<World> = OnceLock::new();
    let file = WORLD.get_or_init(World::of_sample).file("change.plan");
    fs::write(&file, data).expect("it is written");
    if let Err(why) = in_proportion(data.len(), "reading", || saved_plan(&file)) {
        assert!(why.len() < 4_096, "nobody reads that much: {why}");
    }
}
