//! The real binary, run the way people run it: commands in, files, text and HTTP out.

#![allow(clippy::print_stderr, reason = "a test that is skipped says so")]
#![allow(clippy::panic, reason = "a test fails by panicking, in its helpers too")]

mod ask;
mod backtest;
mod bad_input;
mod clients;
mod command_line;
mod deploy;
mod drawing;
mod examples;
mod fine_tuning;
mod folder_routes;
mod folders;
mod graphs;
mod guide;
mod harness;
mod import_export;
mod memory;
mod memory_budget;
mod models;
mod page;
mod predict;
mod routes;
mod runs;
mod serving;
mod steady;
mod templates;
mod whole_way;
