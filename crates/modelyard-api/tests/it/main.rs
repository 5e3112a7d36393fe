//! The whole front end on loopback: a real store with small networks, a real listener, real connections.
#![expect(clippy::panic, reason = "a test says by a panic what went wrong")]

mod calls;
mod crowd;
mod extensions;
mod graphs;
mod life;
mod limits;
mod packed;
mod predict;
mod routes;
mod sequences;
mod series;
mod shared_memory;
mod steady;
mod support;
mod tls;
mod watch;
