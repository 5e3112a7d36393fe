//! A panic is our bug: it is told like any other failure, and it ends only what panicked.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};

use crate::failure::{Exit, Failure};

/// Sends panics to the log. Engines for foreign models panic on hostile files, which the runtime catches and
/// tells as an error: the default report on standard error would only frighten.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(|panicked| tracing::warn!(%panicked, "a panic")));
}

/// Runs the program; a panic becomes a failure.
///
/// # Errors
/// The program's own failure, or the panic's message.
pub(crate) fn guard(program: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    panic::catch_unwind(AssertUnwindSafe(program)).unwrap_or_else(|payload| {
        let message = format!("this is a bug in modelyard: {}", message_of(&*payload));
        Err(Failure::new(Exit::Failure, message)
            .hint("please report it, with the command and what it worked on"))
    })
}

fn message_of(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_failure() {
        let failure = guard(|| panic!("index {} out of bounds", 7)).expect_err("it panicked");
        assert_eq!(failure.exit, Exit::Failure);
        let text = failure.to_string();
        assert!(
            text.starts_with("error: this is a bug in modelyard: index 7 out of bounds\nhint: "),
            "{text}"
        );
        assert!(guard(|| Ok(())).is_ok());
    }
}
