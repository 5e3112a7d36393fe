//! What several fuzz targets share: a table to read rows into, and the way on from rows that could be read.

use modelyard_data::{
    Columns, DataError, Dataset, InputSpec, Kind, OutputKind, OutputSpec, Pipeline, PipelineSpec, SourceSpec,
};

/// Two first bytes choose the settings, the rest is the file.
pub fn settings(data: &[u8]) -> Option<(u8, u8, &[u8])> {
    match data {
        [first, second, rest @ ..] => Some((*first, *second, rest)),
        _ => None,
    }
}

/// A source whose bits decide header and delimiter.
pub fn source(bits: u8) -> SourceSpec {
    let mut source = SourceSpec::new("rows");
    source.has_header = bits & 1 == 0;
    source.delimiter = [None, Some(';'), Some('\t'), Some('|')][usize::from(bits >> 1 & 3)];
    source
}

/// Columns of every kind that a table can hold; bits leave some of them out.
pub fn spec(bits: u8) -> PipelineSpec {
    let input = |name: &str, column: &str, kind| InputSpec {
        column: Some(column.to_owned()),
        ..InputSpec::new(name, kind)
    };
    let vector = InputSpec {
        columns: Some(Columns::One("c3..c5".to_owned())),
        ..InputSpec::new("vector", Kind::Vector)
    };
    let all = [
        input("number", "c0", Kind::Number),
        input("category", "c1", Kind::Category),
        input("datetime", "c2", Kind::Datetime),
        vector,
    ];
    let chosen = all.into_iter().enumerate().filter(|(at, _)| bits >> at & 1 == 0);
    let kind = if bits & 0x10 == 0 { OutputKind::Category } else { OutputKind::Number };
    let output = OutputSpec { column: Some("c6".to_owned()), ..OutputSpec::new("output", kind) };
    let inputs = chosen.map(|(_, input)| input).collect();
    PipelineSpec { inputs, outputs: vec![output], ..PipelineSpec::default() }
}

/// Takes rows that could be read all the way: fitted, applied, decoded, stored and read again.
pub fn use_rows(spec: &PipelineSpec, read: Result<Dataset, DataError>) {
    let data = match read {
        Ok(data) => data,
        Err(error) => return drop((error.to_string(), error.hint())),
    };
    let rows = data.samples();
    let pipeline = match Pipeline::fit(spec, &data, &rows) {
        Ok(pipeline) => pipeline,
        Err(error) => return drop((error.to_string(), error.hint())),
    };
    let mut inputs = Vec::new();
    if pipeline.apply(&data, &rows, &mut inputs).is_ok() {
        let width: usize = pipeline.input_shape().iter().product();
        assert_eq!(inputs.len(), rows.len() * width, "as many numbers as the network takes");
    }
    let _ = pipeline.targets(&data, &rows);
    let outputs = vec![0.5; pipeline.output_width()];
    assert_eq!(pipeline.decode(&outputs, 1).len(), 1);
    let stored = pipeline.to_json();
    let again = Pipeline::from_json(stored.as_bytes()).expect("our own text reads back");
    assert_eq!(again.to_json(), stored);
}
