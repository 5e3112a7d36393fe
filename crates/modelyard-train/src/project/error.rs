//! Why a project file could not be used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use modelyard_types::ErrorKind;
use thiserror::Error;

use super::{Diagnostic, PROJECT_FILE};

/// Why a project file could not be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProjectError {
    /// There is no such file.
    #[error("there is no project file {}", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("cannot read the project file {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is far larger than any project file.
    #[error("the project file {} has {size} bytes, more than {limit}", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// The file is not UTF-8.
    #[error("the project file {} is not UTF-8 text (byte {offset})", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is not.
        offset: usize,
    },
    /// What the file says is wrong.
    #[error("{}", Listed(.diagnostics))]
    Invalid {
        /// Every complaint.
        diagnostics: Vec<Diagnostic>,
    },
}

impl ProjectError {
    pub(super) fn unreadable(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.to_owned() },
            _ => Self::Unreadable { path: path.to_owned(), source },
        }
    }

    /// The kind, for exit codes and protocols.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Unreadable { .. } => ErrorKind::Unavailable,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::NotText { .. } | Self::Invalid { .. } => ErrorKind::InvalidArgument,
        }
    }

    /// The way out, where one is known; complaints about the text carry theirs with them.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Missing { .. } => {
                Some(format!("name a folder that holds a {PROJECT_FILE}, or start one with `modelyard new`"))
            }
            Self::TooLarge { .. } => Some("data belongs in files of its own, named in [data]".to_owned()),
            Self::NotText { .. } => Some("save it as UTF-8".to_owned()),
            Self::Unreadable { .. } | Self::Invalid { .. } => None,
        }
    }
}

/// Complaints one below the other.
struct Listed<'a>(&'a [Diagnostic]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            let gap = if i == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{diagnostic}")?;
        }
        Ok(())
    }
}
