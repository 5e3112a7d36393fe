//! ONNX as bytes: the protobuf messages that we read and write, declared by hand so that no protobuf
//! compiler is needed, and a builder for the graphs that we export.

mod builder;
pub mod proto;

pub use builder::{GraphBuilder, IR_VERSION, OPSET_VERSION};
pub use prost::{DecodeError, Message, bytes::Bytes};
