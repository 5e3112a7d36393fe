//! Projects from file to package, through the public doors.

mod bad_data;
mod drawing;
mod examples;
mod generated;
mod inputs;
mod language;
mod resuming;
mod series;
mod support;
mod training;
