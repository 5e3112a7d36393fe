//! Images and sounds in cells: in base64, or in a file beside the table that the cell names.

use std::path::Path;

use base64::Engine as _;

use crate::error::Problem;

/// The bytes that a text holds in base64.
pub(super) fn decode_base64(text: &str) -> Result<Vec<u8>, Problem> {
    let data = match text.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((_, data)) => data,
        None => text,
    };
    base64::engine::general_purpose::STANDARD.decode(data.trim()).map_err(|error| {
        Problem::new(format!("this text is no base64: {error}"))
            .hint("give the PNG, JPEG or WAV file as base64, as `base64 -w0 image.png` prints it")
    })
}

/// Whether a cell names a file rather than holding it: no base64 has a point in it, and every file name here does.
pub(crate) fn names_a_file(text: &str) -> bool {
    text.contains('.')
}

/// No image or sound is larger than this.
pub(crate) const FILE_BYTES_MAX: u64 = 256 << 20;

/// Reads a file that a cell names.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: std::io::Error| {
        Problem::new(format!("the file {} cannot be read: {error}", path.display()))
            .hint("paths in a table are taken from the table's own folder")
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Problem::new(format!("{} has {size} bytes, more than any file here", path.display())));
    }
    std::fs::read(path).map_err(unreadable)
}
