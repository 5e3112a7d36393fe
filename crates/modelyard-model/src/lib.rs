//! TODO

pub mod onnx;
