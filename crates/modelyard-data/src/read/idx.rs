//! IDX, the format of MNIST (<http://yann.lecun.com/exdb/mnist/>): two zero bytes, a type, the number of
//! dimensions, the dimensions as big-endian 32-bit numbers, the values big-endian.

use std::io::{BufRead, Read};
use std::path::Path;

use super::array::{Array, ArrayValues, element_count, read_files};
use super::open::{NO_FILE, io_error, open, read_exactly, unpack};
use super::{Files, Reader};
use crate::error::DataError;
use crate::fields::Builders;
use crate::spec::{Format, SourceSpec};

/// More dimensions than any data set has.
const DIMENSIONS_MAX: u8 = 8;

/// Arrays with a short binary header.
pub(crate) struct Idx;

impl Reader for Idx {
    fn format(&self) -> Format {
        Format::Idx
    }

    fn endings(&self) -> &'static [&'static str] {
        &["-ubyte", ".idx", ".idx1", ".idx3", "-idx"]
    }

    fn read(&self, files: &Files, _: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        read_files(files, builders, |path| decode(open(path)?, path))
    }
}

/// Decodes IDX bytes, gzipped or not.
///
/// # Errors
/// [`DataError`] where they are no IDX array.
pub fn from_bytes(bytes: &[u8]) -> Result<Array, DataError> {
    let path = Path::new(NO_FILE);
    decode(unpack(bytes, path)?, path)
}

fn decode(mut bytes: Box<dyn BufRead + '_>, path: &Path) -> Result<Array, DataError> {
    let malformed = |problem: String| DataError::Malformed { path: path.to_owned(), format: "IDX", problem };
    let magic = read_exactly(&mut bytes, 4, path, "IDX")?;
    let size = match magic[..] {
        [0, 0, 0x08 | 0x09, _] => 1u64,
        [0, 0, 0x0b, _] => 2,
        [0, 0, 0x0c | 0x0d, _] => 4,
        [0, 0, 0x0e, _] => 8,
        _ => return Err(malformed(format!("it begins with {magic:02x?}"))),
    };
    if magic[3] == 0 || magic[3] > DIMENSIONS_MAX {
        return Err(malformed(format!("it claims {} dimensions", magic[3])));
    }
    let sizes = read_exactly(&mut bytes, u64::from(magic[3]) * 4, path, "IDX")?;
    let shape: Vec<usize> =
        sizes.chunks_exact(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) as usize).collect();
    let count = element_count(&shape).and_then(|count| (count as u64).checked_mul(size));
    let count = count.ok_or_else(|| malformed(format!("it claims the shape {shape:?}")))?;
    let values = read_exactly(&mut bytes, count, path, "IDX")?;
    let mut rest = [0];
    if bytes.read(&mut rest).map_err(|source| io_error(path, source))? > 0 {
        return Err(malformed(format!("bytes follow after the values of shape {shape:?}")));
    }
    Ok(Array { shape, values: values_of(magic[2], values) })
}

fn values_of(element: u8, bytes: Vec<u8>) -> ArrayValues {
    match element {
        0x08 => ArrayValues::Bytes(bytes),
        0x09 => ArrayValues::Single(bytes.into_iter().map(|byte| f32::from(byte as i8)).collect()),
        0x0b => ArrayValues::Single(
            bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_be_bytes(b))).collect(),
        ),
        0x0c => ArrayValues::Double(
            bytes.as_chunks().0.iter().map(|&b| f64::from(i32::from_be_bytes(b))).collect(),
        ),
        0x0d => ArrayValues::Single(bytes.as_chunks().0.iter().map(|&b| f32::from_be_bytes(b)).collect()),
        _ => ArrayValues::Double(bytes.as_chunks().0.iter().map(|&b| f64::from_be_bytes(b)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(element: u8, shape: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0, 0, element, shape.len() as u8];
        shape.iter().for_each(|size| bytes.extend(size.to_be_bytes()));
        bytes
    }

    #[test]
    fn each_type_is_read() {
        let check = |element: u8, value: &[u8], expected: ArrayValues| {
            let mut bytes = header(element, &[1]);
            bytes.extend(value);
            let array = from_bytes(&bytes).expect("sound");
            assert_eq!(array, Array { shape: vec![1], values: expected });
        };
        check(0x08, &[200], ArrayValues::Bytes(vec![200]));
        check(0x09, &[0xff], ArrayValues::Single(vec![-1.0]));
        check(0x0b, &(-2i16).to_be_bytes(), ArrayValues::Single(vec![-2.0]));
        check(0x0c, &3i32.to_be_bytes(), ArrayValues::Double(vec![3.0]));
        check(0x0d, &0.5f32.to_be_bytes(), ArrayValues::Single(vec![0.5]));
        check(0x0e, &0.1f64.to_be_bytes(), ArrayValues::Double(vec![0.1]));
    }

    #[test]
    fn hostile_headers_are_refused_without_their_memory() {
        let huge = header(0x0e, &[u32::MAX, u32::MAX, u32::MAX]);
        assert!(from_bytes(&huge).is_err(), "overflow");
        let large = header(0x08, &[u32::MAX, 1000]);
        let error = from_bytes(&large).expect_err("no values follow");
        assert!(error.to_string().contains("only 0 follow"), "{error}");
        assert!(from_bytes(&header(0x08, &[])).is_err(), "no dimension");
        assert!(from_bytes(&[0, 0, 0x08, 200]).is_err(), "too many dimensions");
        assert!(from_bytes(&[1, 2, 3, 4]).is_err());
        assert!(from_bytes(&[]).is_err());
        let mut longer = header(0x08, &[1]);
        longer.extend([1, 2]);
        assert!(from_bytes(&longer).is_err(), "bytes follow");
    }
}
