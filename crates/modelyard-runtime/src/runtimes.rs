//! The engines of this process: found once, chosen per model, and told to whoever asks the doctor.

use std::path::PathBuf;

use crate::library::INSTALL_HINT;
use crate::{ModelFiles, Native, NativeOnnx, OnnxLimits, OnnxRuntime, Rten, Runtime, RuntimeError};

/// What the binary knows about engines.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig {
    /// Files that may be ONNX Runtime's library, in the order to try; see [`crate::usual_onnxruntime_paths`].
    pub onnxruntime_candidates: Vec<PathBuf>,
    /// What foreign models are taken in at most.
    pub limits: OnnxLimits,
}

/// One engine, as the doctor shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeReport {
    /// The engine's name.
    pub name: &'static str,
    /// Its version, where it is usable.
    pub version: Option<String>,
    /// The library that it was loaded from, where there is one.
    pub path: Option<PathBuf>,
    /// What it runs and what it does not.
    pub runs: &'static str,
    /// Why it is not usable, where it is not.
    pub missing: Option<String>,
}

/// All engines.
pub struct Runtimes {
    native: Native,
    native_onnx: NativeOnnx,
    onnxruntime: OnnxRuntime,
    rten: Rten,
}

impl Runtimes {
    /// Looks for the engines. Loads ONNX Runtime's library from the first candidate that works, once per
    /// process; where none does, the others remain.
    pub fn detect(config: &RuntimeConfig) -> Self {
        Self {
            native: Native,
            native_onnx: NativeOnnx::new(config.limits.clone()),
            onnxruntime: OnnxRuntime::detect(&config.onnxruntime_candidates, config.limits.clone()),
            rten: Rten::new(config.limits.clone()),
        }
    }

    /// Every engine, best first, usable or not.
    pub fn all(&self) -> impl Iterator<Item = &dyn Runtime> {
        [&self.native as &dyn Runtime, &self.native_onnx, &self.onnxruntime, &self.rten].into_iter()
    }

    /// The best engine for these files: our own for networks trained here and for ONNX that is a chain of its
    /// layers, else ONNX Runtime where it is installed, else rten where it runs the model rightly.
    ///
    /// # Errors
    /// [`RuntimeError::NoRuntime`] with what each engine lacks; the file's own error where the ONNX is at
    /// fault and no engine could be.
    pub fn choose(&self, files: &ModelFiles<'_>) -> Result<&dyn Runtime, RuntimeError> {
        let mut lacks = Vec::new();
        let mut hint = None;
        for runtime in self.all() {
            match runtime.check(files) {
                Ok(()) => return Ok(runtime),
                Err(
                    error @ (RuntimeError::InvalidOnnx { .. }
                    | RuntimeError::RefusedOnnx { .. }
                    | RuntimeError::TooLarge { .. }),
                ) => return Err(error),
                Err(error) => {
                    hint = hint.or_else(|| error.hint());
                    lacks.push(error.to_string());
                }
            }
        }
        Err(RuntimeError::NoRuntime { lacks, hint })
    }

    /// The engine of this name.
    ///
    /// # Errors
    /// [`RuntimeError::UnknownRuntime`].
    pub fn by_name(&self, name: &str) -> Result<&dyn Runtime, RuntimeError> {
        self.all().find(|runtime| runtime.name() == name).ok_or_else(|| RuntimeError::UnknownRuntime {
            name: name.chars().take(64).collect(),
            known: self.all().map(Runtime::name).collect(),
        })
    }

    /// The engines as the doctor shows them.
    pub fn report(&self) -> Vec<RuntimeReport> {
        let found = self.onnxruntime.found();
        vec![
            RuntimeReport {
                name: self.native.name(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                path: None,
                runs: "networks trained here",
                missing: None,
            },
            RuntimeReport {
                name: self.native_onnx.name(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
                path: None,
                runs: "ONNX from elsewhere that is a chain of dense, convolution, pooling and activation layers",
                missing: None,
            },
            RuntimeReport {
                name: self.onnxruntime.name(),
                version: found.map(|(_, version)| version.to_owned()).ok(),
                path: found.map(|(path, _)| path.to_owned()).ok(),
                runs: "ONNX from elsewhere, trees included",
                missing: found.err().map(|reason| format!("{reason}; {INSTALL_HINT}")),
            },
            RuntimeReport {
                name: self.rten.name(),
                version: Some("0.27.0".to_owned()),
                path: None,
                runs: "a part of ONNX from elsewhere: no trees, no ConvInteger, no 64-bit arithmetic",
                missing: None,
            },
        ]
    }
}

/// The instruction sets that the engines look for, and whether this processor has them.
pub fn instruction_sets() -> Vec<(&'static str, bool)> {
    #[cfg(target_arch = "x86_64")]
    let sets = vec![
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let sets = vec![("neon", true)];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let sets = Vec::new();
    sets
}
