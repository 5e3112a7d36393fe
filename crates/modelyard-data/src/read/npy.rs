//! NPY, NumPy's own format, versions 1 to 3
//! (<https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>): a magic, a header that is a
//! Python dictionary in text, the values.

use std::io::{BufRead, Read};
use std::path::Path;

use super::array::{Array, ArrayValues, element_count, read_files};
use super::open::{NO_FILE, io_error, open, read_exactly, unpack};
use super::{Files, Reader};
use crate::error::DataError;
use crate::fields::Builders;
use crate::spec::{Format, SourceSpec};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Real headers have about a hundred bytes.
const HEADER_BYTES_MAX: u64 = 64 << 10;
/// NumPy's own limit on dimensions.
const DIMENSIONS_MAX: usize = 64;

/// One NumPy array.
pub(crate) struct Npy;

impl Reader for Npy {
    fn format(&self) -> Format {
        Format::Npy
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".npy"]
    }

    fn read(&self, files: &Files, _: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        read_files(files, builders, |path| decode(open(path)?, path))
    }
}

/// Decodes NPY bytes, gzipped or not.
///
/// # Errors
/// [`DataError`] where they are no array of numbers in C order.
pub fn from_bytes(bytes: &[u8]) -> Result<Array, DataError> {
    let path = Path::new(NO_FILE);
    decode(unpack(bytes, path)?, path)
}

fn decode(mut bytes: Box<dyn BufRead + '_>, path: &Path) -> Result<Array, DataError> {
    let malformed = |problem: String| DataError::Malformed { path: path.to_owned(), format: "NPY", problem };
    let start = read_exactly(&mut bytes, 8, path, "NPY")?;
    if !start.starts_with(MAGIC) {
        return Err(malformed("it does not begin as NPY files do".into()));
    }
    let length = match start[6] {
        1 => {
            let length = read_exactly(&mut bytes, 2, path, "NPY")?;
            u64::from(u16::from_le_bytes([length[0], length[1]]))
        }
        2 | 3 => {
            let length = read_exactly(&mut bytes, 4, path, "NPY")?;
            u64::from(u32::from_le_bytes([length[0], length[1], length[2], length[3]]))
        }
        version => return Err(malformed(format!("its version {version} is not known here"))),
    };
    if length > HEADER_BYTES_MAX {
        return Err(malformed(format!("it claims a header of {length} bytes")));
    }
    let header = read_exactly(&mut bytes, length, path, "NPY")?;
    let header = String::from_utf8_lossy(&header);
    let header = Header::parse(&header).map_err(malformed)?;
    let count =
        element_count(&header.shape).and_then(|count| (count as u64).checked_mul(header.element.size()));
    let count = count.ok_or_else(|| malformed(format!("it claims the shape {:?}", header.shape)))?;
    let values = read_exactly(&mut bytes, count, path, "NPY")?;
    let mut rest = [0];
    if bytes.read(&mut rest).map_err(|source| io_error(path, source))? > 0 {
        return Err(malformed(format!("bytes follow after the values of shape {:?}", header.shape)));
    }
    Ok(Array { values: header.element.values(values, header.big_endian), shape: header.shape })
}

/// What the header's dictionary says.
#[derive(Debug, PartialEq)]
struct Header {
    element: Element,
    big_endian: bool,
    shape: Vec<usize>,
}

/// An element type: its letter and its bytes, as NumPy writes them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Element {
    letter: u8,
    bytes: u8,
}

impl Header {
    fn parse(text: &str) -> Result<Self, String> {
        let descr =
            quoted(value_after(text, "descr")?).ok_or("it holds records, not one array of numbers")?;
        let order = value_after(text, "fortran_order")?;
        let shape = value_after(text, "shape")?;
        let (order_char, kind) = descr.split_at_checked(1).ok_or("its type is empty")?;
        let element = match kind {
            "b1" | "i1" | "u1" | "i2" | "u2" | "i4" | "u4" | "i8" | "u8" | "f4" | "f8" => {
                Element { letter: kind.as_bytes()[0], bytes: kind.as_bytes()[1] - b'0' }
            }
            _ => return Err(format!("its type {descr:?} is none of b1, i1 to i8, u1 to u8, f4 and f8")),
        };
        let big_endian = match order_char {
            "<" | "|" | "=" => false,
            ">" => true,
            _ => return Err(format!("its byte order in {descr:?} is not known")),
        };
        if order.starts_with("True") {
            return Err("it is in Fortran order; save it again with numpy.ascontiguousarray".into());
        }
        Ok(Self { element, big_endian, shape: parse_shape(shape).ok_or("its shape cannot be read")? })
    }
}

/// The text after a key of the dictionary.
fn value_after<'a>(text: &'a str, key: &str) -> Result<&'a str, String> {
    ["'", "\""]
        .iter()
        .find_map(|quote| text.split_once(&format!("{quote}{key}{quote}")))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
        .map(str::trim_start)
        .ok_or_else(|| format!("its header has no {key}"))
}

fn quoted(text: &str) -> Option<&str> {
    let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
    text[1..].split_once(quote).map(|(inside, _)| inside)
}

fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let (inside, _) = text.strip_prefix('(')?.split_once(')')?;
    let parts: Vec<&str> = inside.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() > DIMENSIONS_MAX {
        return None;
    }
    parts.iter().map(|part| part.parse().ok()).collect()
}

/// Reads every element by the type's own conversion, in either byte order.
macro_rules! numbers {
    ($bytes:expr, $big:expr, $element:ty => $out:ty) => {
        $bytes
            .as_chunks()
            .0
            .iter()
            .map(|&b| {
                (if $big { <$element>::from_be_bytes(b) } else { <$element>::from_le_bytes(b) }) as $out
            })
            .collect()
    };
}

impl Element {
    fn size(self) -> u64 {
        u64::from(self.bytes)
    }

    fn values(self, bytes: Vec<u8>, big: bool) -> ArrayValues {
        match (self.letter, self.bytes) {
            (b'u' | b'b', 1) => ArrayValues::Bytes(bytes),
            (b'i', 1) => ArrayValues::Single(bytes.into_iter().map(|byte| f32::from(byte as i8)).collect()),
            (b'i', 2) => ArrayValues::Single(numbers!(bytes, big, i16 => f32)),
            (b'u', 2) => ArrayValues::Single(numbers!(bytes, big, u16 => f32)),
            (b'f', 4) => ArrayValues::Single(numbers!(bytes, big, f32 => f32)),
            (b'i', 4) => ArrayValues::Double(numbers!(bytes, big, i32 => f64)),
            (b'u', 4) => ArrayValues::Double(numbers!(bytes, big, u32 => f64)),
            (b'i', 8) => ArrayValues::Double(numbers!(bytes, big, i64 => f64)),
            (b'u', 8) => ArrayValues::Double(numbers!(bytes, big, u64 => f64)),
            (b'f', 8) => ArrayValues::Double(numbers!(bytes, big, f64 => f64)),
            _ => unreachable!("the header's types are the ones above"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([version, 0]);
        match version {
            1 => bytes.extend((header.len() as u16).to_le_bytes()),
            _ => bytes.extend((header.len() as u32).to_le_bytes()),
        }
        bytes.extend(header.as_bytes());
        bytes.extend(values);
        bytes
    }

    fn header(descr: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n")
    }

    #[test]
    fn every_version_and_byte_order() {
        for version in 1..=3 {
            let bytes = file(version, &header("<f4", "(1, 2)"), &[0, 0, 0, 63, 0, 0, 128, 63]);
            let array = from_bytes(&bytes).expect("sound");
            assert_eq!(array, Array { shape: vec![1, 2], values: ArrayValues::Single(vec![0.5, 1.0]) });
        }
        let big = from_bytes(&file(1, &header(">i2", "(1,)"), &[1, 0])).expect("sound");
        assert_eq!(big.values, ArrayValues::Single(vec![256.0]));
        let flags = from_bytes(&file(1, &header("|b1", "(2,)"), &[1, 0])).expect("sound");
        assert_eq!(flags.values, ArrayValues::Bytes(vec![1, 0]));
    }

    fn refused(bytes: &[u8], because: &str) {
        let error = from_bytes(bytes).expect_err("refused").to_string();
        assert!(error.contains(because), "{error} should tell of {because}");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let fortran = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2), }";
        refused(&file(1, fortran, &[0; 32]), "ascontiguousarray");
        refused(&file(1, &header("|O", "(1,)"), &[]), "|O");
        refused(&file(1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", &[]), "records");
        refused(&file(9, "", &[]), "version 9");
        refused(&file(1, &header("<f8", "(99999999999, 99999999999)"), &[]), "claims the shape");
        refused(&file(1, &header("<f8", "(1000000000,)"), &[0; 8]), "only 8 follow");
        refused(&file(1, &header("<f8", "(-1,)"), &[]), "shape");
        refused(&file(1, "{}", &[]), "no descr");
        refused(b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header of 4294967295 bytes");
        refused(b"\x93NUMPY", "only");
        refused(b"something else", "begin");
    }
}
