//! The second line of defence around foreign engines: a panic inside one becomes an error. The first line
//! is [`crate::inspect_onnx`], which refuses what is known to make them panic, abort or hang.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::RuntimeError;

/// Runs `work`, turning a panic into [`RuntimeError::Panicked`].
///
/// What `work` touches is treated as unwind safe: the engines called here keep no invariant across calls
/// that a panic could break, and a model whose loading panicked is dropped.
pub(crate) fn guarded<T>(
    runtime: &'static str,
    doing: &'static str,
    work: impl FnOnce() -> Result<T, RuntimeError>,
) -> Result<T, RuntimeError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        Err(RuntimeError::Panicked { runtime, doing, message: message_of(payload.as_ref()) })
    })
}

fn message_of(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error() {
        let error =
            guarded::<()>("rten", "loading", || panic!("index {} out of range", 3)).expect_err("panics");
        assert_eq!(error.to_string(), "rten panicked while loading: index 3 out of range");
    }
}
