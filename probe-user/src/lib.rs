//! rstprobe's user space: how every TCP connection ended, who ended it, and why.
//!
//! | room | may use | must not use |
//! |---|---|---|
//! | [`source`] | aya, libc, std::fs, probe-ebpf | tracker, aggregate, report, printing |
//! | [`record`], [`tcp`], [`tracker`], [`verdict`] | segments, std collections, threads that end with the call | clocks, tokio, aya, I/O, hash-order-dependent output |
//! | [`aggregate`] | connection records, hdrhistogram | clocks, I/O, formatting |
//! | [`findings`] | aggregates, connection records | clocks, I/O, where records come from |
//! | [`zone`] | connection records, TOML | clocks, I/O, where the text of a zones file comes from |
//! | [`filter`] | connection records | clocks, I/O, formatting of records, the command line |
//! | [`query`] | connection records, aggregates, filters | clocks, I/O, where records come from |
//! | [`explain`] | segments, connection records | clocks, I/O, how it is shown |
//! | [`evidence`] | connection records, filters, frames | clocks, I/O, where frames come from |
//! | [`report`] | connection records, aggregates | I/O, clocks, the terminal |
//! | [`printable`] | paths and text | everything else |
//! | [`sandbox`] | caps, Landlock, seccomp | sources, records, the command line |
//! | [`cli`], [`plan`] | clap (cli only) | opening anything |
//! | [`agent`] | sources, the tracker, clocks, signals, threads | parsing, formatting |
//! | [`output`] | reports, files, stdout and stderr | sources, the command line |
//! | [`command`] | all of them | parsing, formatting, arithmetic |
//!
//! `cargo xtask tidy` checks this table. `unsafe` is admitted in `source/live/{mapping,engine,ethtool,kernel_features,tracefs}.rs`
//! and `source/xsk/kernel.rs` only.
#![deny(unsafe_code)]

pub mod agent;
pub mod aggregate;
pub mod cli;
pub mod command;
pub mod error;
pub mod evidence;
pub mod explain;
pub mod filter;
pub mod findings;
pub mod output;
pub mod plan;
pub mod printable;
pub mod query;
pub mod record;
pub mod report;
pub mod sandbox;
pub mod source;
pub mod tcp;
pub mod tracker;
pub mod verdict;
pub mod zone;
