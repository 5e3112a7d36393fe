//! The registry through its public doors, on real folders, with real processes that are really killed.

mod aliases;
mod compared;
mod damage;
mod disk_full;
mod formats;
mod graphs;
mod killed;
mod published;
mod routes;
mod runs;
mod support;
mod together;
