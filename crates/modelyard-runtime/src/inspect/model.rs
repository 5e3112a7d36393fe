//! The model's header: file format, operator sets, and what belongs to a model but is not taken.

use modelyard_model::onnx::proto::ModelProto;

use super::{check_max, shown};
use crate::RuntimeError;

/// Newest file format that ONNX Runtime 1.31 reads; PyPI's onnx already writes 14.
const IR_VERSION_MAX: i64 = 13;
/// Oldest file format with operator sets.
const IR_VERSION_MIN: i64 = 3;
/// The operator sets that some engine here runs.
const DOMAINS: [&str; 4] = ["", "ai.onnx", "ai.onnx.ml", "com.microsoft"];

/// Whether operators of this domain may be used at all.
pub(super) fn is_known_domain(domain: &str) -> bool {
    DOMAINS.contains(&domain)
}

/// Checks the header and gives the version of ONNX's own operators.
pub(super) fn check_header(model: &ModelProto) -> Result<i64, RuntimeError> {
    check_ir_version(model.ir_version)?;
    if let Some(function) = model.functions.first() {
        return Err(RuntimeError::RefusedOnnx {
            reason: format!("it defines functions of its own, such as {}", shown(&function.name)),
            hint: Some("inline them: `onnx.inliner.inline_local_functions(model)`".to_owned()),
        });
    }
    check_max("the number of operator sets", model.opset_import.len(), 16usize)?;
    for (i, set) in model.opset_import.iter().enumerate() {
        let twice = model.opset_import[..i].iter().any(|other| normal(&other.domain) == normal(&set.domain));
        if twice {
            return Err(RuntimeError::invalid(format!(
                "operator set {} is imported twice",
                shown(&set.domain)
            )));
        }
        if !(1..=1000).contains(&set.version) {
            return Err(RuntimeError::invalid(format!(
                "operator set version {} does not exist",
                set.version
            )));
        }
    }
    let own = model.opset_import.iter().find(|set| normal(&set.domain).is_empty());
    own.map(|set| set.version)
        .or_else(|| (!model.opset_import.is_empty()).then_some(1))
        .ok_or_else(|| RuntimeError::invalid("it does not say which version of the operators it uses"))
}

/// ONNX's own domain has two spellings.
fn normal(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn check_ir_version(ir_version: i64) -> Result<(), RuntimeError> {
    if ir_version < IR_VERSION_MIN {
        return Err(RuntimeError::invalid(format!(
            "IR version {ir_version} is no ONNX from {IR_VERSION_MIN} on; is this an ONNX file?"
        )));
    }
    if ir_version > IR_VERSION_MAX {
        return Err(RuntimeError::RefusedOnnx {
            reason: format!("it has IR version {ir_version}, the engines here take up to {IR_VERSION_MAX}"),
            hint: Some(
                "where only the number is too new, write it again: `m = onnx.load(\"model.onnx\"); \
                 m.ir_version = 10; onnx.save(m, \"model.onnx\")`"
                    .to_owned(),
            ),
        });
    }
    Ok(())
}
