//! chaincast indexes EVM chains and token prices into Postgres and streams both, live and without gaps.
//!
//! This crate assembles the service from the crates of `crates/`; ARCHITECTURE.md has the picture.
//!
//! | module | what it has |
//! |---|---|
//! | [`config`] | puts the sections that the crates declare together; reads file, environment and flags |
//! | [`app`] | the composition root: bind, wire, spawn, drain; `descriptors` shares open files out |
//! | [`cli`] | a file a subcommand. Exit codes: 0 done, 1 failed, 2 usage or configuration |
//! | `page` | the live page of `web/`, built into the binary |

#![allow(
    missing_docs,
    reason = "an application: only its own main and its tests use these items"
)]

pub mod app;
pub mod cli;
pub mod config;
mod page;
