//! Decoders of outside bytes never panic, whatever comes.

use modelyard_data::read::{csv, idx, image_folder, jsonl, npy, parquet, text_lines};
use modelyard_data::{Kind, OutputKind, Pipeline, Profile, SourceSpec};
use proptest::prelude::*;

use super::spec;

fn feed(bytes: &[u8]) {
    let source = SourceSpec::new("x");
    let spec =
        spec(&[("a", Kind::Number), ("b", Kind::Category), ("t", Kind::Datetime)], OutputKind::Category);
    let _ = csv::from_bytes(bytes, &source, &spec);
    let _ = jsonl::from_bytes(bytes, &source, &spec);
    let _ = text_lines::from_bytes(bytes, &source, &spec);
    let _ = parquet::from_bytes(bytes, &source, &spec);
    let _ = idx::from_bytes(bytes);
    let _ = npy::from_bytes(bytes);
    let _ = image_folder::from_bytes(bytes);
    let _ = Pipeline::from_json(bytes);
    let _ = Profile::from_json(bytes);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        feed(&bytes);
    }

    #[test]
    fn bytes_that_begin_well(
        start in prop::sample::select(vec![
            &b"\x00\x00\x08\x03"[..], b"\x00\x00\x0e\x01", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x03\x00", b"\x1f\x8b\x08",
            b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", b"\xff\xd8\xff\xe0", b"a,b,t,y\n", b"\xef\xbb\xbfa,b,t,y\n", b"{\"a\": ",
            b"{\"format\": \"modelyard.pipeline\", \"format_version\": 1, ",
        ]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        feed(&[start, &bytes].concat());
    }

    #[test]
    fn npy_headers(descr in "[<>|=]?[biufO][0-9]{0,2}", shape in "\\([0-9]{0,20},? ?[0-9]{0,20}\\)", values in prop::collection::vec(any::<u8>(), 0..64)) {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(values);
        let _ = npy::from_bytes(&bytes);
    }

    #[test]
    fn tables_of_any_text(cells in prop::collection::vec("[a-z0-9\",;\n.é-]{0,8}", 0..40)) {
        feed(format!("a,b,t,y\n{}", cells.join(",")).as_bytes());
    }
}

#[test]
fn a_gzip_that_ends_early_is_an_error() {
    let gz = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xcb];
    let error = idx::from_bytes(&gz).expect_err("cut off").to_string();
    assert!(error.contains("no valid gzip"), "{error}");
    let spec = spec(&[("a", Kind::Number)], OutputKind::Category);
    let error = csv::from_bytes(&gz, &SourceSpec::new("x"), &spec).expect_err("cut off").to_string();
    assert!(error.contains("no valid gzip"), "{error}");
}
