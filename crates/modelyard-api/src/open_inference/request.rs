//! An inference request and what may be asked of its answer, alike for JSON, binary tensors and gRPC.

use modelyard_types::NamedTensor;

/// Why values in shared memory are not read, on any wire.
pub(super) const SHARED_MEMORY_REFUSED: &str =
    "shared memory is not spoken here; send the values with the request, raw where they are many";

/// An inference request as any of the protocol's wires carried it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DecodedRequest {
    /// The caller's own name for the request, given back with the answer.
    pub id: Option<String>,
    /// The inputs, in the request's order.
    pub inputs: Vec<NamedTensor>,
    /// The outputs asked for; empty means all.
    pub outputs: Vec<WantedOutput>,
    /// What was asked of the request as a whole.
    pub parameters: Parameters,
}

impl DecodedRequest {
    /// The names of the outputs asked for.
    pub(crate) fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// How this output was asked for.
    pub(crate) fn wanted(&self, name: &str) -> Option<&WantedOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// An output that was asked for by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedOutput {
    /// Its name.
    pub name: String,
    /// Whether its values are to come behind the JSON as raw bytes; none where the request's
    /// [`Parameters::binary_data_output`] decides.
    pub binary: Option<bool>,
    /// How many of the likeliest classes are wanted in place of the values; 0 for the values.
    pub classes: usize,
}

/// The `parameters` of a request that mean something here; others are let pass unseen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parameters {
    /// Whether outputs come as raw bytes where they do not say so themselves.
    pub binary_data_output: bool,
    /// How long the answer may take, in microseconds; 0 leaves it to the server.
    pub timeout_us: u64,
    /// 1 goes first, greater numbers later; 0 is the priority of those that name none.
    pub priority: u32,
}
