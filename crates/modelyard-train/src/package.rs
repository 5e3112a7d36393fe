//! The files of a model version, and the proof that its ONNX answers as the trained network does.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use modelyard_data::Profile;
use modelyard_model::NetworkSpec;
use modelyard_registry::document::{Lineage, Machine, SignatureDocument};
use modelyard_runtime::{ModelFiles, ParityReport, Runtimes, parity};
use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor, TensorSpec, Version};

use crate::card::card;
use crate::error::TrainError;
use crate::evaluate::class_names;
use crate::files;
use crate::fingerprint::{fingerprint, project_digest};
use crate::fit::{Host, Trained};
use crate::prepare::Prepared;
use crate::project::Project;

/// The largest |a − b| / (1 + |a|) by which an engine may differ from the trained network.
pub const PARITY_TOLERANCE: f64 = 1e-4;

/// How many real rows the engines are compared on.
const PARITY_ROWS: usize = 64;

/// A version, ready to be published.
#[derive(Clone, Debug)]
pub struct Package {
    /// The files by name.
    pub files: BTreeMap<String, Vec<u8>>,
    /// How the engines compared.
    pub parity: ParityReport,
    /// See [`fingerprint`].
    pub fingerprint: String,
}

/// Writes a version's files, and compares the engines on real rows.
///
/// # Errors
/// [`TrainError::Parity`] where an engine answers otherwise than the trained network: such a version must not be
/// published.
pub fn package(
    project: &Project,
    prepared: &Prepared,
    trained: &Trained,
    runtimes: &Runtimes,
    host: &Host<'_>,
) -> Result<Package, TrainError> {
    let onnx = trained.network.to_onnx()?;
    let network = trained.network.network_json().into_bytes();
    let weights = trained.network.weights_safetensors();
    let model = ModelFiles { onnx: Some(&onnx), network: Some(&network), weights: Some(&weights) };
    let parity = compare_engines(prepared, runtimes, &model)?;
    let lineage = lineage(project, prepared, trained, host);
    let fingerprint = lineage.fingerprint.clone().unwrap_or_default();
    let profile = Profile::new(&prepared.dataset, &prepared.parts.train);
    let texts = [
        (files::PIPELINE, trained.pipeline.to_json()),
        (files::SIGNATURE, signature(prepared)?.to_json()),
        (files::SCORES, trained.scores.to_json()?),
        (files::PROFILE, profile.to_json()),
        (files::LINEAGE, lineage.to_json()),
        (files::CARD, card(project, prepared, trained, &parity)?),
        (files::PROJECT, project.text().to_owned()),
    ];
    let mut files: BTreeMap<String, Vec<u8>> =
        texts.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect();
    files.insert(files::ONNX.to_owned(), onnx);
    files.insert(files::NETWORK.to_owned(), network);
    files.insert(files::WEIGHTS.to_owned(), weights);
    Ok(Package { files, parity, fingerprint })
}

fn compare_engines(
    prepared: &Prepared,
    runtimes: &Runtimes,
    model: &ModelFiles<'_>,
) -> Result<ParityReport, TrainError> {
    let rows: Vec<usize> = [&prepared.parts.test, &prepared.parts.train]
        .into_iter()
        .flatten()
        .copied()
        .take(PARITY_ROWS)
        .collect();
    let mut values = Vec::new();
    prepared.pipeline.apply(&prepared.dataset, &rows, &mut values)?;
    let shape = std::iter::once(rows.len()).chain(prepared.pipeline.input_shape().iter().copied()).collect();
    let tensor = Tensor::new(shape, values.into()).expect("the pipeline fills whole rows");
    let report = parity(runtimes, model, &[NamedTensor { name: "input".to_owned(), tensor }])?;
    match report.differences.iter().find(|other| other.scaled_max > PARITY_TOLERANCE) {
        Some(other) => Err(TrainError::Parity {
            runtime: other.runtime,
            difference: other.scaled_max,
            tolerance: PARITY_TOLERANCE,
            rows: rows.len(),
        }),
        None => Ok(report),
    }
}

fn signature(prepared: &Prepared) -> Result<SignatureDocument, TrainError> {
    let mut document = SignatureDocument::from(&tensor_signature(&prepared.network)?);
    let classes = class_names(prepared.pipeline.task());
    if prepared.pipeline.output_width() == classes.len() {
        document.outputs[0].categories = classes.to_vec();
    }
    Ok(document)
}

/// The tensors of a network as its ONNX names them.
fn tensor_signature(network: &NetworkSpec) -> Result<Signature, TrainError> {
    let spec = |name: &str, row: &[usize]| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: std::iter::once(Dim::Any).chain(row.iter().copied().map(Dim::Fixed)).collect(),
    };
    Ok(Signature {
        inputs: vec![spec("input", &network.input)],
        outputs: vec![spec("output", &network.output_shape()?)],
    })
}

fn lineage(project: &Project, prepared: &Prepared, trained: &Trained, host: &Host<'_>) -> Lineage {
    let start = prepared.start.as_ref();
    let digest = start.map(|start| start.record.digest.as_str());
    let parent = start.and_then(|start| start.parent_of(project.name()));
    let since_1970 = host.clock.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    Lineage {
        data_sha256: Some(prepared.data_sha256.clone()),
        project_sha256: Some(project_digest(project)),
        fingerprint: Some(fingerprint(project, &prepared.data_sha256, digest, host.program)),
        source: start.filter(|_| parent.is_none()).map(|start| start.record.from.clone()),
        seed: Some(project.training().seed),
        parent: parent.map(Version::get),
        program: host.program.to_owned(),
        machine: Machine {
            os: std::env::consts::OS.to_owned(),
            arch: std::env::consts::ARCH.to_owned(),
            threads: u32::try_from(trained.threads).unwrap_or(u32::MAX),
        },
        created_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
    }
}
