//! Makes the gRPC code from `schemas/*.proto`, in Rust throughout: no `protoc` is needed.

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;

const SCHEMAS: [&str; 3] = ["health.proto", "inference.proto", "model_config.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas");
    let descriptors = protox::compile(SCHEMAS, [&folder])?;
    #[expect(
        clippy::disallowed_methods,
        reason = "Cargo tells build scripts by the environment where to write"
    )]
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("Cargo sets OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .build_client(false)
        .bytes(".inference.ModelInferRequest.raw_input_contents")
        .bytes(".inference.ModelInferResponse.raw_output_contents")
        .emit_rerun_if_changed(false)
        .compile_fds(descriptors)?;
    for schema in SCHEMAS {
        println!("cargo::rerun-if-changed={}", folder.join(schema).display());
    }
    Ok(())
}
