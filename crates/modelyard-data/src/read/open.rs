//! Opening files: gzip is seen through, an empty file is an error of its own.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::DataError;

const BUFFER_BYTES: usize = 256 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The path that messages show for bytes that come from no file.
pub(crate) const NO_FILE: &str = "(bytes)";

/// Opens a file, unpacking gzip.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead>, DataError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    if file.metadata().map_err(|source| io_error(path, source))?.is_dir() {
        return Err(DataError::spec(
            "source",
            format!("{} is a folder, and this format is read from files", path.display()),
        ));
    }
    unpack(BufReader::with_capacity(BUFFER_BYTES, file), path)
}

/// Unpacks gzip where the bytes begin as it does.
pub(crate) fn unpack<'a>(
    mut bytes: impl BufRead + 'a,
    path: &Path,
) -> Result<Box<dyn BufRead + 'a>, DataError> {
    let start = bytes.fill_buf().map_err(|source| io_error(path, source))?;
    if start.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    if !start.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(bytes));
    }
    let mut unpacked = BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(bytes));
    if unpacked.fill_buf().map_err(|source| io_error(path, source))?.is_empty() {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    Ok(Box::new(unpacked))
}

/// Passes over a UTF-8 byte-order mark. A file of nothing else is empty.
pub(crate) fn skip_byte_order_mark(bytes: &mut dyn BufRead, path: &Path) -> Result<(), DataError> {
    let start = bytes.fill_buf().map_err(|source| io_error(path, source))?;
    if start.starts_with(BYTE_ORDER_MARK) {
        bytes.consume(BYTE_ORDER_MARK.len());
        if bytes.fill_buf().map_err(|source| io_error(path, source))?.is_empty() {
            return Err(DataError::Empty { path: path.to_owned() });
        }
    }
    Ok(())
}

/// Reads exactly `count` bytes. What a header claims is believed only as far as bytes really come.
pub(crate) fn read_exactly(
    bytes: &mut dyn Read,
    count: u64,
    path: &Path,
    format: &'static str,
) -> Result<Vec<u8>, DataError> {
    let mut values = Vec::new();
    bytes.take(count).read_to_end(&mut values).map_err(|source| io_error(path, source))?;
    if (values.len() as u64) < count {
        let problem =
            format!("the header tells of {count} bytes of values, and only {} follow", values.len());
        return Err(DataError::Malformed { path: path.to_owned(), format, problem });
    }
    Ok(values)
}

/// What a folder holds, sorted.
pub(crate) fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(|source| io_error(folder, source))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(|source| io_error(folder, source))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// What the operating system, or the unpacking of gzip, found wrong.
pub(crate) fn io_error(path: &Path, source: std::io::Error) -> DataError {
    use std::io::ErrorKind::{InvalidData, InvalidInput, NotFound, UnexpectedEof};
    let path = path.to_owned();
    match source.kind() {
        NotFound => DataError::Missing { path },
        InvalidData | InvalidInput | UnexpectedEof => {
            DataError::Malformed { path, format: "gzip", problem: source.to_string() }
        }
        _ => DataError::Io { path, source },
    }
}
