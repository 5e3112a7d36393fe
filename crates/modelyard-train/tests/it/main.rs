//! Projects from file to package, through the public doors.

mod bad_data;
mod examples;
mod generated;
mod resuming;
mod inputs;
mod support;
mod training;
