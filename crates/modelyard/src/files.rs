//! Reading and writing whole files, with messages that name them.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::path::Path;

use crate::failure::{Exit, Failure};

/// The bytes of a file of at most `bytes_max`.
///
/// # Errors
/// A file that is not there, cannot be read or is larger.
pub(crate) fn read_up_to(path: &Path, bytes_max: usize) -> Result<Vec<u8>, Failure> {
    let cannot = |error: io::Error| Failure::io(format!("cannot read {}", path.display()), &error);
    let file = File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(Failure::new(Exit::BadInput, format!("{} is a folder, not a file", path.display())));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() > bytes_max {
        let message = format!("{} is larger than {bytes_max} bytes", path.display());
        return Err(Failure::new(Exit::BadInput, message));
    }
    Ok(bytes)
}

/// Makes a folder, and those around it, where they are missing.
///
/// # Errors
/// What stands in the way.
pub(crate) fn make_folder(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder)
        .map_err(|error| Failure::io(format!("cannot make {}", folder.display()), &error))
}

/// Writes a file that must not be there yet.
///
/// # Errors
/// A file that is there already, or cannot be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let cannot = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::new(Exit::BadInput, format!("{} is there already", path.display()))
                .hint("remove it, or name another place with --out")
        }
        _ => Failure::io(format!("cannot write {}", path.display()), &error),
    };
    File::create_new(path).and_then(|mut file| file.write_all(bytes)).map_err(cannot)
}
