//! The crate through its public doors: files in, fitted numbers and named answers out.

#![allow(clippy::panic, reason = "a helper of a test fails the test")]

mod bad_input;
mod contract;
mod decoders;
mod images;
mod labels;
mod language;
mod parquet;
mod pipeline;
mod reading;
mod rolling;
mod sound;
mod stored;
mod text;
mod undo;
mod window_parts;
mod windows;

use modelyard_data::{
    Dataset, InputSpec, Kind, OutputKind, OutputSpec, Pipeline, PipelineSpec, SourceSpec, TransformSpec,
};

/// The inputs of these names and kinds, and the output `y`.
fn spec(inputs: &[(&str, Kind)], output: OutputKind) -> PipelineSpec {
    PipelineSpec {
        inputs: inputs.iter().map(|(name, kind)| InputSpec::new(*name, *kind)).collect(),
        outputs: vec![OutputSpec::new("y", output)],
        ..PipelineSpec::default()
    }
}

/// One input `x` with these transforms, written as in a project file but in JSON.
fn spec_of_x(kind: Kind, transforms: &str) -> PipelineSpec {
    let mut spec = spec(&[("x", kind)], OutputKind::Category);
    spec.inputs[0].transforms = Some(transforms_of(transforms));
    spec
}

fn transforms_of(json: &str) -> Vec<TransformSpec> {
    serde_json::from_str(json).expect("the test writes transforms")
}

fn csv(text: &str, spec: &PipelineSpec) -> Dataset {
    let read = modelyard_data::read::csv::from_bytes(text.as_bytes(), &SourceSpec::new("x.csv"), spec);
    read.unwrap_or_else(|error| panic!("{error}"))
}

fn all_rows(data: &Dataset) -> Vec<usize> {
    (0..data.rows()).collect()
}

fn apply(pipeline: &Pipeline, data: &Dataset, rows: &[usize]) -> Vec<f32> {
    let mut out = Vec::new();
    pipeline.apply(data, rows, &mut out).unwrap_or_else(|error| panic!("{error}"));
    out
}

fn assert_near(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{got:?} is not {expected:?}");
    for (a, b) in got.iter().zip(expected) {
        assert!((a - b).abs() < 1e-5, "{got:?} is not {expected:?}");
    }
}
