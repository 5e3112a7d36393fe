//! Hostile and merely wrong files, without any engine.

use modelyard_model::onnx::GraphBuilder;
use modelyard_model::onnx::proto::AttributeProto;
use modelyard_types::{DataType, Dim};

use super::*;
