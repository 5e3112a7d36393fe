//! The files that cells of a table name: part of the data as much as the table itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Files, find_paths, reader_of};
use crate::dataset::ColumnData;
use crate::error::DataError;
use crate::fields::{Builders, file_name_fields, names_a_file};
use crate::spec::{Format, PipelineSpec, SourceSpec};

/// Every image and sound that a cell of the data names, sorted; those that are not there are left to reading, which
/// knows their line.
///
/// # Errors
/// [`DataError`] where a table cannot be read.
pub fn named_files(source: &SourceSpec, base: &Path, spec: &PipelineSpec) -> Result<Vec<PathBuf>, DataError> {
    let fields = file_name_fields(spec);
    let mut found = BTreeSet::new();
    for paths in [Some(&source.source), source.test_source.as_ref()].into_iter().flatten() {
        for table in find_paths(base, paths)? {
            if !fields.is_empty() && !table.is_dir() {
                let mut builders = Builders::of_fields(fields.clone());
                collect(source, table, &mut builders, &mut found)?;
            }
        }
    }
    Ok(found.into_iter().collect())
}

fn collect(
    source: &SourceSpec,
    table: PathBuf,
    builders: &mut Builders,
    found: &mut BTreeSet<PathBuf>,
) -> Result<(), DataError> {
    let folder = table.parent().unwrap_or(Path::new("")).to_owned();
    let files = Files { data: vec![table], labels: Vec::new() };
    let reader = reader_of(source, &files)?;
    if !matches!(reader.format(), Format::Csv | Format::Tsv | Format::Jsonl | Format::Parquet) {
        return Ok(());
    }
    reader.read(&files, source, builders)?;
    for builder in std::mem::take(&mut builders.columns) {
        let ColumnData::Texts(names) = builder.finish()?.data else { continue };
        let named = names.iter().filter(|name| names_a_file(name)).map(|name| folder.join(name.trim()));
        found.extend(named.filter(|path| path.is_file()));
    }
    Ok(())
}
