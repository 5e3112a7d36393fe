//! Parquet as pandas and others write it: every type of column, what is missing, what is no table at all.

use std::sync::Arc;

use modelyard_data::read::parquet::from_bytes;
use modelyard_data::{
    ColumnData, Columns, DataError, Dataset, Kind, OutputKind, PipelineSpec, SourceSpec, read,
};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use proptest::prelude::*;

use super::spec;

/// Written by pandas 3 and pyarrow: see the file beside it.
const PANDAS: &[u8] = include_bytes!("../samples/pandas.parquet");

fn wanted() -> PipelineSpec {
    let inputs = [
        ("time", Kind::Datetime),
        ("pressure", Kind::Number),
        ("count", Kind::Number),
        ("price", Kind::Number),
        ("valve", Kind::Category),
        ("note", Kind::Text),
        ("spectrum", Kind::Vector),
    ];
    spec(&inputs, OutputKind::Category)
}

fn column<'a>(data: &'a Dataset, name: &str) -> &'a ColumnData {
    data.column(name).expect("the column was wanted")
}

fn numbers(data: &Dataset, name: &str) -> Vec<f64> {
    match column(data, name) {
        ColumnData::Numbers(numbers) => (0..data.rows()).map(|row| numbers.get(row)).collect(),
        ColumnData::Datetimes(seconds) => seconds.clone(),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn a_table_of_pandas_is_read_with_its_types() {
    let data = from_bytes(PANDAS, &SourceSpec::new("x.parquet"), &wanted()).expect("reads");
    assert_eq!(data.rows(), 4);
    assert_eq!(numbers(&data, "time"), [1_700_000_000.0, 1_700_000_000.5, 1_700_000_001.0, 1_700_000_001.5]);
    let pressure = numbers(&data, "pressure");
    assert_eq!(pressure[..2], [4.5, -1.25]);
    assert!(pressure[2].is_nan() && pressure[3] == 7.0, "{pressure:?}");
    assert_eq!(numbers(&data, "count"), [1.0, 2.0, 3.0, 4_294_967_295.0]);
    assert_eq!(numbers(&data, "price"), [1.25, -0.5, 99.99, 0.0]);
    let ColumnData::Vectors(spectrum) = column(&data, "spectrum") else { panic!("a vector") };
    assert_eq!((spectrum.width, &spectrum.values[2..6]), (2, &[3.0, 4.0, 5.0, 6.0][..]));
}

#[test]
fn a_timestamp_is_one_whatever_the_format_of_texts() {
    let mut spec = wanted();
    spec.inputs[0].format = Some("%d.%m.%Y".into());
    let data = from_bytes(PANDAS, &SourceSpec::new("x.parquet"), &spec).expect("reads");
    assert_eq!(numbers(&data, "time")[..2], [1_700_000_000.0, 1_700_000_000.5]);
}

#[test]
fn several_columns_make_a_vector() {
    let mut spec = spec(&[("both", Kind::Vector)], OutputKind::Category);
    spec.inputs[0].columns = Some(Columns::Many(vec!["pressure".into(), "co*".into()]));
    let data = from_bytes(PANDAS, &SourceSpec::new("x.parquet"), &spec).expect("reads");
    let ColumnData::Vectors(both) = column(&data, "both") else { panic!("a vector") };
    assert_eq!((both.width, &both.values[..4]), (2, &[4.5, 1.0, -1.25, 2.0][..]));
}

#[test]
fn a_misspelt_column_names_the_nearest() {
    let spec = spec(&[("presure", Kind::Number)], OutputKind::Category);
    let error = from_bytes(PANDAS, &SourceSpec::new("x.parquet"), &spec).expect_err("misspelt");
    assert!(error.to_string().contains("did you mean \"pressure\""), "{error}");
}

#[test]
fn text_where_a_number_belongs_is_told_with_row_and_column() {
    let spec = spec(&[("note", Kind::Number)], OutputKind::Category);
    let error = from_bytes(PANDAS, &SourceSpec::new("x.parquet"), &spec).expect_err("text");
    assert!(error.to_string().contains(":1, column \"note\": takes"), "{error}");
}

#[test]
fn a_struct_is_no_value() {
    let spec = spec(&[("place", Kind::Number)], OutputKind::Category);
    let error = from_bytes(PANDAS, &SourceSpec::new("x.parquet"), &spec).expect_err("a struct");
    assert!(error.to_string().contains("not a nested value"), "{error}");
}

#[test]
fn what_is_cut_or_was_never_parquet_is_told() {
    for length in [3, 11, 200, PANDAS.len() - 1] {
        let error = from_bytes(&PANDAS[..length], &SourceSpec::new("x.parquet"), &wanted()).expect_err("cut");
        assert!(matches!(error, DataError::Malformed { format: "Parquet", .. }), "{length}: {error}");
    }
}

#[test]
fn a_table_of_no_rows_is_told() {
    let bytes = table(0);
    let spec = spec(&[("a", Kind::Number)], OutputKind::Category);
    let error = from_bytes(&bytes, &SourceSpec::new("x.parquet"), &spec).expect_err("no rows");
    assert!(matches!(error, DataError::NoRows { .. }), "{error}");
}

#[test]
fn files_are_read_in_order_and_an_empty_one_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, rows) in [("a.parquet", 3), ("b.parquet", 2)] {
        std::fs::write(folder.path().join(name), table(rows)).expect("writes");
    }
    let spec = spec(&[("a", Kind::Number), ("t", Kind::Number)], OutputKind::Category);
    let data = read(&SourceSpec::new("*.parquet"), folder.path(), &spec).expect("reads");
    assert_eq!(numbers(&data, "a"), [0.0, 0.5, 1.0, 0.0, 0.5]);
    assert_eq!(numbers(&data, "t"), [0.0, 1.0, 2.0, 0.0, 1.0]);
    std::fs::write(folder.path().join("c.parquet"), []).expect("writes");
    let error = read(&SourceSpec::new("*.parquet"), folder.path(), &spec).expect_err("an empty file");
    assert!(matches!(error, DataError::Empty { .. }), "{error}");
}

/// Three columns: halves, whole milliseconds of the local time, names.
fn table(rows: usize) -> Vec<u8> {
    let schema = "message table {
        REQUIRED DOUBLE a;
        REQUIRED INT64 t (TIMESTAMP(MILLIS, false));
        REQUIRED BYTE_ARRAY y (UTF8);
    }";
    let schema = Arc::new(parse_message_type(schema).expect("a schema"));
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut file = SerializedFileWriter::new(&mut bytes, schema, properties).expect("begins");
    let mut group = file.next_row_group().expect("a row group");
    let mut number = 0;
    while let Some(mut column) = group.next_column().expect("a column") {
        let rows = 0..rows;
        match number {
            0 => {
                let values: Vec<f64> = rows.map(|row| row as f64 / 2.0).collect();
                column.typed::<DoubleType>().write_batch(&values, None, None)
            }
            1 => {
                let values: Vec<i64> = rows.map(|row| row as i64 * 1000).collect();
                column.typed::<Int64Type>().write_batch(&values, None, None)
            }
            _ => {
                let values: Vec<ByteArray> = rows.map(|row| ByteArray::from(["u", "v"][row % 2])).collect();
                column.typed::<ByteArrayType>().write_batch(&values, None, None)
            }
        }
        .expect("writes");
        column.close().expect("closes");
        number += 1;
    }
    group.close().expect("closes");
    file.close().expect("closes");
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_bytes_are_an_error_or_a_table(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut bytes = PANDAS.to_vec();
        for (place, value) in flips {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = from_bytes(&bytes, &SourceSpec::new("x.parquet"), &wanted());
    }
}
