//! What a description of windows must say before a row is read, and may not contradict.

use crate::error::DataError;
use crate::spec::{FEATURES, Gaps, OutputKind, PipelineSpec};

/// A window with more numbers of rows than this is surely a slip of the pen.
const SPAN_MAX: usize = 1 << 20;

/// Checks what is declared about windows.
///
/// # Errors
/// [`DataError::Spec`] naming the key.
pub(crate) fn check(spec: &PipelineSpec) -> Result<(), DataError> {
    check_outputs(spec)?;
    let Some(windows) = &spec.windows else {
        return match spec.inputs.iter().find(|input| input.known_future) {
            Some(input) => Err(DataError::spec(&input.name, "known_future is for windows with a horizon")
                .with_hint("set [data.windows] with a horizon, or remove known_future")),
            None => Ok(()),
        };
    };
    let wrong = |key: &str, problem: &str| DataError::spec(format!("data.windows.{key}"), problem);
    if windows.length == 0 {
        return Err(wrong("length", "a window has one row or more"));
    }
    if windows.stride == 0 {
        return Err(wrong("stride", "the next window begins one row further on or more"));
    }
    if windows.length.saturating_add(windows.horizon) > SPAN_MAX {
        return Err(wrong("length", "a window of so many rows is more than a network can take"));
    }
    if windows.every.as_ref().is_some_and(|every| every.value().is_none()) {
        return Err(wrong("every", "this is no time between two rows")
            .with_hint("write a number, or one with s, m, h or d behind it, as in \"5m\""));
    }
    if windows.gaps != Gaps::Refuse && windows.every.is_none() {
        return Err(wrong("gaps", "without every nothing tells what a gap is")
            .with_hint("set every, the time between two rows, as in every = \"5m\""));
    }
    if windows.season == Some(0) {
        return Err(wrong("season", "a season has one row or more"));
    }
    for input in &spec.inputs {
        if input.known_future && windows.horizon == 0 {
            return Err(DataError::spec(&input.name, "known_future is for windows with a horizon")
                .with_hint("set horizon under [data.windows], or remove known_future"));
        }
    }
    check_wholes(spec)
}

/// Inputs that are given once a window.
fn check_wholes(spec: &PipelineSpec) -> Result<(), DataError> {
    if spec.inputs.iter().all(|input| spec.steps_of(input).is_none()) && !spec.inputs.is_empty() {
        return Err(DataError::spec("data.windows", "no input gives the steps of a window").with_hint(
            "declare a number, category, datetime or vector without a part, or remove [data.windows]",
        ));
    }
    for input in spec.inputs.iter().filter(|input| spec.steps_of(input).is_none()) {
        let wrong = |problem: &str, hint: &str| Err(DataError::spec(&input.name, problem).with_hint(hint));
        if input.part.as_deref() == Some(FEATURES) {
            return wrong(
                "the part features holds the steps of windows, and this is given once a window",
                "give it another part, or none",
            );
        }
        if input.known_future {
            return wrong(
                "what is given once a window is not known ahead of it",
                "remove known_future, or the part, so that it is given at each step",
            );
        }
        if spec.outputs.iter().any(|output| output.kind == OutputKind::Anomaly) {
            return wrong(
                "a network that gives windows back takes nothing beside their steps",
                "remove this input, or its part where it has one",
            );
        }
    }
    Ok(())
}

/// What outputs ask of windows.
fn check_outputs(spec: &PipelineSpec) -> Result<(), DataError> {
    let windows = spec.windows.as_ref();
    let horizon = windows.map_or(0, |windows| windows.horizon);
    for output in &spec.outputs {
        let alone = spec.outputs.len() == 1;
        let wrong = |problem: &str, hint: &str| Err(DataError::spec(&output.name, problem).with_hint(hint));
        match output.kind {
            OutputKind::Remaining if windows.is_none_or(|windows| windows.unit.is_none()) => {
                return wrong(
                    "what remains of a life needs to know whose row it is, and when it was",
                    "set [data.windows] with time and unit; length = 1 for windows of a single row",
                );
            }
            OutputKind::Remaining | OutputKind::Anomaly if !alone => {
                return wrong("this kind of output stands alone", "train one project per output");
            }
            OutputKind::Remaining | OutputKind::Anomaly | OutputKind::Category | OutputKind::Labels
                if horizon > 0 =>
            {
                return wrong(
                    "a horizon is for an output of kind number",
                    "remove horizon under [data.windows]",
                );
            }
            OutputKind::Number if horizon > 0 && !alone => {
                return wrong("one number is forecast at a time", "train one project per output");
            }
            OutputKind::Number
                if horizon == 0 && (output.quantiles.is_some() || output.coverage.is_some()) =>
            {
                return wrong("quantiles and coverage are for forecasts", "set horizon under [data.windows]");
            }
            _ => {}
        }
        check_quantiles(&output.name, output.quantiles.as_deref(), output.coverage)?;
    }
    Ok(())
}

fn check_quantiles(name: &str, quantiles: Option<&[f64]>, coverage: Option<f64>) -> Result<(), DataError> {
    if let Some(quantiles) = quantiles {
        let inside = quantiles.iter().all(|quantile| *quantile > 0.0 && *quantile < 1.0);
        let ascending = quantiles.is_sorted_by(|a, b| a < b);
        if quantiles.is_empty() || !inside || !ascending {
            return Err(DataError::spec(name, "quantiles are fractions between 0 and 1, the smallest first")
                .with_hint("as in quantiles = [0.1, 0.5, 0.9]"));
        }
    }
    if coverage.is_some_and(|coverage| !(coverage > 0.0 && coverage < 1.0)) {
        return Err(DataError::spec(name, "coverage is a fraction between 0 and 1"));
    }
    Ok(())
}
