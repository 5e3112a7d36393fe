//! What the serving benchmarks share: processes under watch, a client that hides nothing, a load that can be
//! paced, and the models that are served.

#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock and the command line")]

pub mod client;
pub mod latencies;
pub mod load;
pub mod models;
pub mod process;
pub mod server;
