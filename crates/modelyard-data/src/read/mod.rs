//! Files into a [`Dataset`]: finds them, tells their format, and hands them to its reader. A new format is a
//! file here and a line in the list below.

mod array;
pub mod csv;
mod files_in_cells;
pub mod idx;
pub mod image_folder;
pub mod jsonl;
mod named;
pub mod npy;
pub(crate) mod open;
pub mod parquet;
pub mod text_lines;

use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::fields::{Builders, matches_pattern};
use crate::spec::{Format, Paths, PipelineSpec, SourceSpec};
use crate::window::Side;

pub use array::{Array, ArrayValues};
pub use files_in_cells::named_files;

/// The files of one source, and those of its labels where the format keeps them apart.
pub(crate) struct Files {
    pub(crate) data: Vec<PathBuf>,
    pub(crate) labels: Vec<PathBuf>,
}

/// A format that can be read.
pub(crate) trait Reader: Sync {
    /// Which format it is.
    fn format(&self) -> Format;

    /// The endings of file names that tell the format, without a `.gz`.
    fn endings(&self) -> &'static [&'static str];

    /// Appends every row of the files to the columns.
    fn read(&self, files: &Files, source: &SourceSpec, builders: &mut Builders) -> Result<(), DataError>;
}

const READERS: &[&dyn Reader] = &[
    &csv::Csv,
    &csv::Tsv,
    &jsonl::Jsonl,
    &idx::Idx,
    &npy::Npy,
    &parquet::Parquet,
    &image_folder::ImageFolder,
    &image_folder::AudioFolder,
    &text_lines::TextLines,
];

/// Reads the columns that `spec` names, and the column that decides the split. Paths are relative to `base`.
/// Rows of a separate test source come last; [`Dataset::test_rows`] tells which they are.
///
/// # Errors
/// [`DataError`], naming the file, the line and the column.
pub fn read(source: &SourceSpec, base: &Path, spec: &PipelineSpec) -> Result<Dataset, DataError> {
    let mut builders = Builders::new(spec, &source.split)?;
    let main = find_files(base, &source.source, source.labels.as_ref())?;
    let reader = reader_of(source, &main)?;
    refuse_twice(&main.data, &[])?;
    reader.read(&main, source, &mut builders)?;
    let mut test_from = None;
    let mut test_labels = Vec::new();
    if let Some(test_source) = &source.test_source {
        test_from = Some(builders.rows);
        let test = find_files(base, test_source, source.test_labels.as_ref())?;
        refuse_twice(&main.data, &test.data)?;
        reader.read(&test, source, &mut builders)?;
        test_labels = test.labels;
    }
    let side = Side::read(spec, source, &main.labels, &test_labels)?;
    builders.finish(test_from, &side)
}

/// Rows that are read twice would be learned from and judged by: a file, or a folder inside another one, is in one
/// place only.
fn refuse_twice(main: &[PathBuf], test: &[PathBuf]) -> Result<(), DataError> {
    let mut known: Vec<(PathBuf, &PathBuf)> = Vec::with_capacity(main.len() + test.len());
    for path in main.iter().chain(test) {
        let real = path.canonicalize().map_err(|source| open::io_error(path, source))?;
        known.push((real, path));
    }
    known.sort();
    for pair in known.windows(2) {
        let [(outer, first), (inner, second)] = pair else { continue };
        if inner.starts_with(outer) {
            let field = if test.contains(first) || test.contains(second) { "test_source" } else { "source" };
            let problem = match inner == outer {
                true => format!("{} is named twice: its rows would be read twice", first.display()),
                false => format!("{} is inside {}, which is read too", second.display(), first.display()),
            };
            return Err(DataError::spec(field, problem)
                .with_hint("a file belongs to source or to test_source, and is named once"));
        }
    }
    Ok(())
}

/// Every file that [`read()`] would read, in a fixed order, but for those that cells name (see [`named_files`]).
///
/// # Errors
/// [`DataError::Missing`] where a path or pattern leads to nothing.
pub fn source_files(source: &SourceSpec, base: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    let paths = [
        Some(&source.source),
        source.labels.as_ref(),
        source.test_source.as_ref(),
        source.test_labels.as_ref(),
    ];
    for paths in paths.into_iter().flatten() {
        for path in find_paths(base, paths)? {
            if path.is_dir() {
                files.extend(image_folder::media_files(&path)?);
            } else {
                files.push(path);
            }
        }
    }
    Ok(files)
}

fn find_files(base: &Path, data: &Paths, labels: Option<&Paths>) -> Result<Files, DataError> {
    Ok(Files {
        data: find_paths(base, data)?,
        labels: labels.map(|labels| find_paths(base, labels)).transpose()?.unwrap_or_default(),
    })
}

fn find_paths(base: &Path, paths: &Paths) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for path in paths.iter() {
        let path = base.join(path);
        match path.file_name().and_then(|name| name.to_str()) {
            Some(pattern) if pattern.contains('*') => found.extend(expand_glob(&path, pattern)?),
            _ if path.exists() => found.push(path),
            _ => return Err(DataError::Missing { path }),
        }
    }
    if found.is_empty() {
        return Err(DataError::spec("source", "no path is given"));
    }
    Ok(found)
}

fn expand_glob(path: &Path, pattern: &str) -> Result<Vec<PathBuf>, DataError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut found = open::list(folder)?;
    found.retain(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| matches_pattern(pattern, name))
    });
    if found.is_empty() { Err(DataError::Missing { path: path.to_owned() }) } else { Ok(found) }
}

fn reader_of(source: &SourceSpec, files: &Files) -> Result<&'static dyn Reader, DataError> {
    let format = match source.format {
        Some(format) => Some(format),
        None => format_of(&files.data[0]),
    };
    let reader = READERS.iter().find(|reader| Some(reader.format()) == format);
    reader.copied().ok_or_else(|| {
        DataError::spec(
            "data",
            format!("the format of {} cannot be told from its name", files.data[0].display()),
        )
        .with_hint(
            "set format under [data] to csv, tsv, jsonl, idx, npy, parquet, image_folder, audio_folder or text_lines",
        )
    })
}

/// The format that a file's name, or what a folder holds, tells.
pub fn format_of(path: &Path) -> Option<Format> {
    if path.is_dir() {
        let sounds = image_folder::holds_sounds(path);
        return Some(if sounds { Format::AudioFolder } else { Format::ImageFolder });
    }
    let name = path.file_name()?.to_str()?.to_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let by_ending = |reader: &&&dyn Reader| reader.endings().iter().any(|ending| name.ends_with(ending));
    READERS.iter().find(by_ending).map(|reader| reader.format())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_from_names() {
        for (name, expected) in [
            ("a.csv", Some(Format::Csv)),
            ("a.CSV.gz", Some(Format::Csv)),
            ("a.tsv", Some(Format::Tsv)),
            ("a.jsonl", Some(Format::Jsonl)),
            ("train-images-idx3-ubyte.gz", Some(Format::Idx)),
            ("a.npy", Some(Format::Npy)),
            ("pos.txt.gz", Some(Format::TextLines)),
            ("a.parquet", Some(Format::Parquet)),
            ("a.xlsx", None),
        ] {
            assert_eq!(format_of(Path::new(name)), expected, "{name}");
        }
    }
}
