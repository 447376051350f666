//! Sources, resources and reports against a real API server with a real etcd.
//!
//! Most tests share one server and have a namespace each; those that break it have one of their own.

#![expect(clippy::disallowed_methods, reason = "tests touch the world")]

#[path = "../support/agent.rs"]
mod agent;
#[path = "../support/cluster.rs"]
mod cluster;
mod gate;
#[path = "../support/web.rs"]
mod web;
mod world;

mod admission;
mod objects;
mod outage;
mod page;
mod policy;
mod promotion;
mod report;
mod secrets;
