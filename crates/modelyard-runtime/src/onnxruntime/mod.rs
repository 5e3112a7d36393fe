//! ONNX Runtime, the field's standard, loaded at run time from wherever its library is installed. One
//! session per worker: its sessions are not called from two threads at once.

mod convert;
mod library;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use modelyard_types::{NamedTensor, Signature};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::guard::guarded;
use crate::inspect::{Inspected, inspect};
use crate::runtime::order_inputs;
use crate::{LoadOptions, LoadedModel, ModelFiles, OnnxLimits, Runtime, RuntimeError, Session};
use library::Library;

const NAME: &str = "onnxruntime";

/// ONNX Runtime, or why it is not there.
pub struct OnnxRuntime {
    library: Result<Library, String>,
    limits: OnnxLimits,
}

struct OrtModel {
    environment: Environment,
    /// The checked model, from which every session is made.
    bytes: Vec<u8>,
    signature: Arc<Signature>,
    threads: usize,
}

struct OrtSession {
    session: ort::session::Session,
    signature: Arc<Signature>,
}

impl OnnxRuntime {
    /// Loads the library from the first candidate that works. What was loaded once stays for the life of
    /// the process, and later calls that name any candidate get the same.
    pub fn detect(candidates: &[PathBuf], limits: OnnxLimits) -> Self {
        Self { library: Library::find(candidates), limits }
    }

    /// The library's path and version, or why there is none.
    pub(crate) fn found(&self) -> Result<(&Path, &str), &str> {
        match &self.library {
            Ok(library) => Ok((&library.path, &library.version)),
            Err(reason) => Err(reason),
        }
    }

    fn library(&self) -> Result<&Library, RuntimeError> {
        self.library.as_ref().map_err(|reason| RuntimeError::LibraryUnusable { reason: reason.clone() })
    }

    fn inspected(&self, files: &ModelFiles<'_>) -> Result<Inspected, RuntimeError> {
        let bytes = files.onnx.ok_or(RuntimeError::MissingFiles { runtime: NAME, needs: "model.onnx" })?;
        inspect(bytes, &self.limits)
    }
}

impl Runtime for OnnxRuntime {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self, files: &ModelFiles<'_>) -> Result<(), RuntimeError> {
        let inspected = self.inspected(files);
        self.library()?;
        inspected.map(|_| ())
    }

    fn load(
        &self,
        files: &ModelFiles<'_>,
        options: &LoadOptions,
    ) -> Result<Arc<dyn LoadedModel>, RuntimeError> {
        let inspected = self.inspected(files)?;
        let model = OrtModel {
            environment: self.library()?.environment.clone(),
            bytes: inspected.to_bytes(),
            signature: Arc::new(inspected.summary.signature),
            threads: options.threads.max(1),
        };
        // What ONNX Runtime itself refuses is told now, not to the first worker.
        let names = model.open()?;
        model.check_names(&names)?;
        Ok(Arc::new(model))
    }
}

impl OrtModel {
    fn open(&self) -> Result<ort::session::Session, RuntimeError> {
        guarded(NAME, "loading a model", || {
            let build = || -> Result<ort::session::Session, String> {
                let builder = SessionBuilder::new(&self.environment).map_err(said)?;
                let builder = builder.with_intra_threads(self.threads).map_err(said)?;
                let builder = builder.with_inter_threads(1).map_err(said)?;
                let builder = builder.with_intra_op_spinning(false).map_err(said)?;
                let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(said)?;
                let mut builder = builder.with_log_level(LogLevel::Fatal).map_err(said)?;
                builder.commit_from_memory(&self.bytes).map_err(said)
            };
            build().map_err(|message| RuntimeError::Load { runtime: NAME, message })
        })
    }

    /// The names must come in the same order as the walk found them, since inputs are handed over by place.
    fn check_names(&self, session: &ort::session::Session) -> Result<(), RuntimeError> {
        let inputs = self.signature.inputs.iter().map(|spec| spec.name.as_str());
        let outputs = self.signature.outputs.iter().map(|spec| spec.name.as_str());
        let same = inputs.eq(session.inputs().iter().map(|input| input.name()))
            && outputs.eq(session.outputs().iter().map(|output| output.name()));
        if same {
            return Ok(());
        }
        let message = "it finds other inputs or outputs than the file declares".to_owned();
        Err(RuntimeError::Load { runtime: NAME, message })
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl LoadedModel for OrtModel {
    fn runtime(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        Ok(Box::new(OrtSession { session: self.open()?, signature: Arc::clone(&self.signature) }))
    }
}

impl Session for OrtSession {
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError> {
        let ordered = order_inputs(NAME, &self.signature, inputs)?;
        let Self { session, signature } = self;
        guarded(NAME, "running a model", || {
            let values = signature
                .inputs
                .iter()
                .zip(ordered)
                .map(|(spec, tensor)| convert::to_ort(spec, tensor))
                .collect::<Result<Vec<_>, RuntimeError>>()?;
            let outputs = session
                .run(values.as_slice())
                .map_err(|error| RuntimeError::Run { runtime: NAME, message: error.to_string() })?;
            let pairs = signature.outputs.iter().zip(outputs.values());
            pairs.map(|(spec, value)| convert::from_ort(spec, &value)).collect()
        })
    }
}
