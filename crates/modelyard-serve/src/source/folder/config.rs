//! A Triton model configuration, `config.pbtxt`: what of it is followed here, and what is refused by name.
//!
//! Source: <https://github.com/triton-inference-server/common>, `protobuf/model_config.proto`, and
//! <https://github.com/triton-inference-server/server>, `docs/user_guide/model_configuration.md`.

use std::collections::BTreeSet;

use modelyard_types::{DataType, Dim, TensorSpec};

use super::batching::{self, COUNT_MAX};
use super::fields::{Fields, Refusal};
use super::sequences;
use super::text::{self, Field};
use super::warmup::{self, Warmup};
use crate::settings::{Declared, ModelSettings};

/// The file's name.
pub(super) const CONFIG: &str = "config.pbtxt";
/// The name of a version's network where the configuration gives no other.
pub(super) const NETWORK: &str = "model.onnx";
/// Most bytes of the file.
pub(super) const BYTES_MAX: u64 = 1 << 20;
const EXPORT: &str = "only ONNX models are served: export the model to ONNX";

/// Which of the version folders are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VersionPolicy {
    /// The so many with the highest numbers.
    Latest(usize),
    /// Every one.
    All,
    /// These.
    Specific(BTreeSet<u64>),
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self::Latest(1)
    }
}

/// A configuration that can be followed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct TritonConfig {
    /// The model's name, where it is given, and the line.
    pub(super) name: Option<(String, usize)>,
    /// Which versions are served.
    pub(super) policy: VersionPolicy,
    /// The name of the network's file in a version's folder, where it is not [`NETWORK`].
    pub(super) network: Option<String>,
    /// Files with the labels of outputs, beside the configuration, and the line.
    pub(super) label_files: Vec<(String, String, usize)>,
    /// How the model wants to be served, but for its warm-up.
    pub(super) settings: ModelSettings,
    /// Requests that warm it up.
    pub(super) warmups: Vec<Warmup>,
}

#[derive(Default)]
struct Draft {
    config: TritonConfig,
    rows_max: usize,
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
}

/// Reads a configuration. Safe on any text.
///
/// # Errors
/// The first field that is not understood or not supported.
pub(super) fn parse(text: &str) -> Result<TritonConfig, Refusal> {
    read(&text::parse(text)?)
}

/// Reads a configuration's fields.
///
/// # Errors
/// The first that is not understood or not supported.
pub(super) fn read(fields: &[Field]) -> Result<TritonConfig, Refusal> {
    let mut draft = Draft::default();
    Fields::new(fields).each("a model configuration", |field| draft.take(field))?;
    Ok(draft.finish())
}

impl Draft {
    fn take(&mut self, field: &Field) -> Result<bool, Refusal> {
        let config = &mut self.config;
        match field.name.as_str() {
            "name" => config.name = Some((field.text()?.to_owned(), field.line)),
            "platform" => must_be_onnx(field, "onnxruntime_onnx")?,
            "backend" => must_be_onnx(field, "onnxruntime")?,
            "max_batch_size" => self.rows_max = field.number(0, COUNT_MAX)?,
            "version_policy" => config.policy = policy(field)?,
            "default_model_filename" => config.network = Some(file_name(field)?),
            "input" => self.inputs.push(input(field)?),
            "output" => {
                let (spec, labels) = output(field)?;
                config.label_files.extend(labels.map(|(file, line)| (spec.name.clone(), file, line)));
                self.outputs.push(spec);
            }
            "dynamic_batching" => batching::dynamic(field, &mut config.settings)?,
            "sequence_batching" => {
                config.settings.sequences = Some(sequences::parse(field, &mut config.settings)?);
            }
            "instance_group" => {
                let more = instances(field)?;
                let count = config.settings.sessions_max.get_or_insert(0);
                *count = count.saturating_add(more);
            }
            "parameters" => parameter(field, &mut config.settings)?,
            "model_warmup" => config.warmups.push(warmup::parse(field)?),
            _ => return refuse_or_skip(field),
        }
        Ok(true)
    }

    fn finish(self) -> TritonConfig {
        let Self { mut config, rows_max, inputs, outputs } = self;
        let with_rows = |mut spec: TensorSpec| {
            if rows_max > 0 {
                spec.shape.insert(0, Dim::Any);
            }
            spec
        };
        let declared = Declared {
            inputs: inputs.into_iter().map(with_rows).collect(),
            outputs: outputs.into_iter().map(with_rows).collect(),
        };
        config.settings.declared = Some(declared).filter(|declared| *declared != Declared::default());
        if let Some(sequences) = &mut config.settings.sequences {
            sequences.has_rows = rows_max > 0;
            for state in sequences.states.iter_mut().filter(|_| rows_max > 0) {
                state.input.shape.insert(0, Dim::Any);
                state.initial.insert(0, 1);
            }
        }
        // 0 says that the model knows no rows; requests to it are never joined.
        config.settings.batch_size_max = Some(rows_max.max(1));
        config.settings.request_rows_max = (rows_max > 0).then_some(rows_max);
        for warmup in &mut config.warmups {
            warmup.has_rows = rows_max > 0;
        }
        config
    }
}

fn must_be_onnx(field: &Field, wanted: &str) -> Result<(), Refusal> {
    match field.text()? {
        "" => Ok(()),
        text if text == wanted => Ok(()),
        other => {
            Err(Refusal::new(field.line, format!("{} {other:?} is not supported", field.name)).hint(EXPORT))
        }
    }
}

/// Fields that are known: some ask for nothing here, the others for what is not done.
fn refuse_or_skip(field: &Field) -> Result<bool, Refusal> {
    let hint = match field.name.as_str() {
        "response_cache" | "model_transaction_policy" => {
            let hint = "every request is computed, and answered once: take the field out";
            field.message()?.each(&field.name, |inner| match inner.name.as_str() {
                "enable" | "decoupled" => inner.must_be_false(hint).map(|()| true),
                _ => Ok(false),
            })?;
            return Ok(true);
        }
        "runtime" if field.text()?.is_empty() => return Ok(true),
        "ensemble_scheduling" => {
            "declare the ensemble as a graph of models: modelyard graphs set (docs/guides/graphs.md)"
        }
        "batch_input" | "batch_output" => "have the network compute it from its inputs",
        "optimization" => "sessions are optimised as well as their engine can: take the field out",
        "cc_model_filenames" | "runtime" => EXPORT,
        "model_operations" | "model_repository_agents" => "models are read as they lie in the folder",
        "metric_tags" | "model_metrics" => "series have the labels model and version: take the field out",
        _ => return Ok(false),
    };
    Err(field.unsupported(hint))
}

fn policy(field: &Field) -> Result<VersionPolicy, Refusal> {
    let mut policy = VersionPolicy::default();
    field.message()?.each("version_policy", |choice| {
        match choice.name.as_str() {
            "all" => policy = VersionPolicy::All,
            "latest" => choice.message()?.each("latest", |inner| {
                let known = inner.name == "num_versions";
                if known {
                    policy = VersionPolicy::Latest(inner.number(1, COUNT_MAX)?);
                }
                Ok(known)
            })?,
            "specific" => {
                let mut versions = BTreeSet::new();
                choice.message()?.each("specific", |inner| {
                    let known = inner.name == "versions";
                    if known {
                        versions.insert(inner.number(1, i64::MAX as u64)?);
                    }
                    Ok(known)
                })?;
                policy = VersionPolicy::Specific(versions);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(policy)
}

/// A file beside the configuration or in a version's folder, never one elsewhere.
fn file_name(field: &Field) -> Result<String, Refusal> {
    let name = field.text()?;
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        return Err(Refusal::new(field.line, format!("{} {name:?} is not the name of a file", field.name)));
    }
    Ok(name.to_owned())
}

fn input(field: &Field) -> Result<TensorSpec, Refusal> {
    let mut spec = nothing_yet();
    field.message()?.each("input", |inner| {
        match inner.name.as_str() {
            // It says how people read an image's axes; the network is handed the same numbers.
            "format" => drop(inner.word()?),
            "is_shape_tensor" | "allow_ragged_batch" | "optional" | "is_non_linear_format_io" => {
                inner.must_be_false("every input is sent whole, with one shape for all rows")?;
            }
            _ => return tensor(inner, &mut spec),
        }
        Ok(true)
    })?;
    named(field, spec)
}

type LabelFile = (String, usize);

fn output(field: &Field) -> Result<(TensorSpec, Option<LabelFile>), Refusal> {
    let mut spec = nothing_yet();
    let mut labels = None;
    field.message()?.each("output", |inner| {
        match inner.name.as_str() {
            "label_filename" => labels = Some((file_name(inner)?, inner.line)),
            "is_shape_tensor" | "is_non_linear_format_io" => {
                inner.must_be_false("outputs are given as the network makes them")?;
            }
            _ => return tensor(inner, &mut spec),
        }
        Ok(true)
    })?;
    Ok((named(field, spec)?, labels))
}

fn nothing_yet() -> TensorSpec {
    TensorSpec { name: String::new(), data_type: DataType::F32, shape: Vec::new() }
}

fn named(field: &Field, spec: TensorSpec) -> Result<TensorSpec, Refusal> {
    match spec.name.is_empty() {
        true => Err(Refusal::new(field.line, format!("this {} has no name", field.name))),
        false => Ok(spec),
    }
}

/// What inputs and outputs have in common.
fn tensor(field: &Field, spec: &mut TensorSpec) -> Result<bool, Refusal> {
    match field.name.as_str() {
        "name" => field.text()?.clone_into(&mut spec.name),
        "data_type" => spec.data_type = data_type(field)?,
        "dims" => spec.shape.push(dim(field)?),
        "reshape" => {
            let hint = "give the dims that the ONNX file declares, and have clients send that shape";
            return Err(field.unsupported(hint));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn dim(field: &Field) -> Result<Dim, Refusal> {
    Ok(match field.number(-1, i64::from(u32::MAX))? {
        -1 => Dim::Any,
        size => Dim::Fixed(usize::try_from(size).unwrap_or(usize::MAX)),
    })
}

pub(super) fn data_type(field: &Field) -> Result<DataType, Refusal> {
    let word = field.word()?;
    let name = word.strip_prefix("TYPE_").map(|name| if name == "STRING" { "BYTES" } else { name });
    let unknown = || Refusal::new(field.line, format!("data_type {word} is not supported"));
    name.and_then(|name| name.parse().ok()).ok_or_else(unknown)
}

/// How many sessions one group asks for.
fn instances(field: &Field) -> Result<usize, Refusal> {
    let mut count = 1;
    field.message()?.each("instance_group", |inner| {
        match inner.name.as_str() {
            "name" => drop(inner.text()?),
            "count" => count = inner.number(1, 1024)?,
            "kind" => match inner.word()? {
                "KIND_CPU" | "KIND_AUTO" => {}
                other => {
                    let what = format!("instance_group kind {other} is not supported");
                    return Err(Refusal::new(inner.line, what).hint("models run on CPUs: say KIND_CPU"));
                }
            },
            "passive" => inner.must_be_false("every session takes requests")?,
            "gpus" | "rate_limiter" | "profile" | "host_policy" | "secondary_devices" => {
                return Err(inner.unsupported("sessions are alike and run on CPUs: take the field out"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(count)
}

fn parameter(field: &Field, settings: &mut ModelSettings) -> Result<(), Refusal> {
    let (mut key, mut given) = ("", None);
    field.message()?.each("parameters", |inner| {
        match inner.name.as_str() {
            "key" => key = inner.text()?,
            "value" => inner.message()?.each("a parameter's value", |value| {
                let known = value.name == "string_value";
                if known {
                    given = Some(value.text()?);
                }
                Ok(known)
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let number = given.and_then(|text| text.parse::<usize>().ok());
    match (key, number) {
        // 0 leaves the number to the engine, as Triton has it.
        ("intra_op_thread_count", Some(0)) | ("inter_op_thread_count", Some(0 | 1)) => Ok(()),
        ("intra_op_thread_count", Some(threads @ 1..=1024)) => {
            settings.threads = Some(threads);
            Ok(())
        }
        _ => Err(Refusal::new(field.line, format!("the parameter {key:?} with {given:?} is not supported"))
            .hint("intra_op_thread_count, with a number in quotes, is followed")),
    }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
