//! The front ends: the only place that knows wire formats.
//!
//! [`serve`] answers HTTP and gRPC on one listener: the Open Inference Protocol v2 with tensors, rows by name
//! on `/v1/models/{model}:predict` and `/predict`, `/metrics` for Prometheus, and a page for people on `/`.
//! Every front end decodes to the types of `modelyard-types` and encodes from them; nothing below knows how
//! it was asked.

mod body;
mod config;
mod elements;
mod error;
mod intake;
mod listen;
pub mod open_inference;
mod openapi;
mod page;
mod patient;
mod predict;
mod router;
mod routes;
mod triton_metrics;
mod turns;
mod watch;
mod write;

pub use config::ApiConfig;
pub use error::{ApiError, Failure};
pub use listen::serve;
pub use openapi::openapi;
pub use watch::{
    AccessLog, Call, LogLevels, LogSettings, Otlp, Served, Steps, TraceContext, TraceSettings, Watcher,
    Watchers,
};
