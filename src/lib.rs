//! oxide-operator keeps the configuration database of the Oxide LLM orchestrator equal to a declared
//! configuration, understands edits that arrive from the other side, and never loses either.
//!
//! ```text
//! SourceSnapshot ─▶ DesiredConfig ─▶ StoreSnapshot ─▶ Plan ─▶ Applied ─▶ Verified ─▶ SyncReport
//!    source            desired          store         plan     store      verify       report
//! ```
//!
//! | layer | modules | what they may touch |
//! | --- | --- | --- |
//! | words | [`model`], [`settings`] | nothing |
//! | decisions | [`desired`], [`plan`], [`verify`], [`report`], [`write_back`], [`promotion`] | only the words: no file, no clock, no async |
//! | forms | [`export`], [`metrics`], [`crd`] | only the words and the report |
//! | the world | [`place`], `small_file`, [`source`], [`store`], [`cluster`], [`telemetry`] | files, SQLite, the Kubernetes API, the log |
//! | one pass | [`sync`] | **start reading here** |
//! | what wakes it | [`run`] (with the web page), [`cli`], [`guide`] | anything |
//!
//! The library's front door for programs is [`guide`]: what the orchestrator's migration guide promises.

mod actions;
pub mod cli;
pub mod cluster;
pub mod consumer;
pub mod crd;
pub mod desired;
pub mod export;
#[cfg(debug_assertions)]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
pub mod metrics;
pub mod model;
pub mod place;
pub mod plan;
pub mod promotion;
pub mod report;
pub mod run;
pub mod settings;
mod small_file;
pub mod source;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod verify;
mod web;
pub mod write_back;

/// The README's example, so that it stays true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
