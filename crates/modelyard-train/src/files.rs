//! The names of the files of a model version.

/// The network for every other runtime.
pub const ONNX: &str = "model.onnx";
/// The declared network.
pub const NETWORK: &str = "network.json";
/// Its weights.
pub const WEIGHTS: &str = "weights.safetensors";
/// The fitted pipeline.
pub const PIPELINE: &str = "pipeline.json";
/// Names, types and shapes of the network's inputs and outputs.
pub const SIGNATURE: &str = "signature.json";
/// Every score, and the gates.
pub const SCORES: &str = "scores.json";
/// The distribution of the training rows.
pub const PROFILE: &str = "profile.json";
/// Where the version comes from.
pub const LINEAGE: &str = "lineage.json";
/// The model card, for people.
pub const CARD: &str = "card.md";
/// The project file as trained.
pub const PROJECT: &str = "project.toml";
