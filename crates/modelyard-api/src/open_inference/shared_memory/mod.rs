//! Tensors in memory that a client on the same machine shares with the server: it makes an object of POSIX shared
//! memory, registers it as a region by a name, and requests say where in it their values lie.
//!
//! Source: <https://github.com/triton-inference-server/server>, `docs/protocol/extension_shared_memory.md`. Regions
//! are read and written as the files that they are, so that one that its owner cuts short fails a request and not
//! the server. Memory of graphics processors is told apart by name: there is none, and nothing is registered.

pub(super) mod http;
mod objects;
mod regions;

use modelyard_types::DataType;

pub(super) use http::no_cuda;
pub(crate) use regions::{Regions, Reserved, Told, put};

/// Where in a region a tensor's values lie, as raw bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The region's name.
    pub region: String,
    /// Bytes from the region's start on.
    pub offset: u64,
    /// How many bytes: all of an input's, at most so many of an output's.
    pub bytes: u64,
}

/// An input whose values are not in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedInput {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Its shape, in elements.
    pub shape: Vec<usize>,
    /// Where its values lie.
    pub place: Place,
}

/// The parameters of a tensor that say where its values lie, as both wires name them.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) region: Option<String>,
    pub(super) offset: u64,
    pub(super) bytes: Option<u64>,
}

impl Given {
    /// None where no region is named.
    ///
    /// # Errors
    /// A region without a size, or a size without a region.
    pub(super) fn place(self) -> Result<Option<Place>, &'static str> {
        let Self { region, offset, bytes } = self;
        match (region, bytes) {
            (None, None) => Ok(None),
            (Some(region), Some(bytes)) => Ok(Some(Place { region, offset, bytes })),
            (Some(_), None) => Err("shared_memory_region needs a shared_memory_byte_size beside it"),
            (None, Some(_)) => Err("shared_memory_byte_size needs a shared_memory_region beside it"),
        }
    }
}
