//! The real binary, run the way people run it: commands in, files, text and HTTP out.

mod bad_input;
mod command_line;
mod harness;
mod import_export;
mod models;
mod predict;
mod serving;
mod templates;
mod whole_way;
