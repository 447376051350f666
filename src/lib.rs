//! wip
#![allow(missing_docs)]
pub mod desired;
pub mod model;
pub mod plan;
pub mod verify;
pub mod store;
pub mod report;
pub mod sync;
pub mod settings;
pub mod source;
pub mod export;
pub mod cli;
pub mod guide;
pub mod metrics;
pub mod run;
pub mod telemetry;
