//! A folder per class with PNG and JPEG files in it, or with WAV files. Without outputs (rows to predict) the files
//! may also lie in the folder itself.

use std::path::{Path, PathBuf};

use super::open::{io_error, list};
use super::{Files, Reader};
use crate::error::{DataError, Problem};
use crate::fields::{Builders, FILE_BYTES_MAX, FieldKind, at};
use crate::picture::Picture;
use crate::spec::{Format, SourceSpec};

/// A folder of images per class.
pub(crate) struct ImageFolder;
/// A folder of sounds per class.
pub(crate) struct AudioFolder;

impl Reader for ImageFolder {
    fn format(&self) -> Format {
        Format::ImageFolder
    }

    fn endings(&self) -> &'static [&'static str] {
        &[]
    }

    fn read(&self, files: &Files, _: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        read_folders(files, IMAGES, builders)
    }
}

impl Reader for AudioFolder {
    fn format(&self) -> Format {
        Format::AudioFolder
    }

    fn endings(&self) -> &'static [&'static str] {
        &[]
    }

    fn read(&self, files: &Files, _: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        read_folders(files, SOUNDS, builders)
    }
}

fn read_folders(files: &Files, endings: &[&str], builders: &mut Builders) -> Result<(), DataError> {
    let labelled = builders.columns.iter().any(|builder| builder.field.is_output);
    for folder in &files.data {
        let found = class_files(folder, endings)?;
        let found: Vec<&PathBuf> =
            found.iter().filter(|file| !labelled || file.parent() != Some(folder)).collect();
        if found.is_empty() {
            return Err(DataError::NoRows { path: folder.clone() });
        }
        for file in found {
            push_file(file, builders)?;
        }
    }
    Ok(())
}

/// Decodes the bytes of a PNG or JPEG file within limits on size and memory.
///
/// # Errors
/// [`DataError`] where they are no such image, or one too large.
pub fn from_bytes(bytes: &[u8]) -> Result<Picture, DataError> {
    Picture::decode(bytes).map_err(at(Path::new(super::open::NO_FILE), 1, "image"))
}

const IMAGES: &[&str] = &["png", "jpg", "jpeg"];
const SOUNDS: &[&str] = &["wav"];

/// Every image and sound of the folder and its class folders, sorted.
pub(crate) fn media_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    class_files(folder, &[IMAGES, SOUNDS].concat())
}

/// The files of a folder that are rows where the answers are not asked for, in their order.
///
/// # Errors
/// Where the folder cannot be read.
pub fn row_files(folder: &Path, format: Format) -> Result<Vec<PathBuf>, DataError> {
    class_files(folder, if format == Format::AudioFolder { SOUNDS } else { IMAGES })
}

/// Whether the folder, or its first class folder, holds a sound.
pub(crate) fn holds_sounds(folder: &Path) -> bool {
    class_files(folder, SOUNDS).is_ok_and(|files| !files.is_empty())
}

fn class_files(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, DataError> {
    let wanted = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
    };
    let mut files = Vec::new();
    for entry in list(folder)?.into_iter().filter(|entry| !is_hidden(entry)) {
        if entry.is_dir() {
            let inside = list(&entry)?.into_iter().filter(|path| !is_hidden(path));
            let (folders, inside): (Vec<_>, Vec<_>) = inside.partition(|path| path.is_dir());
            for deeper in folders {
                if list(&deeper)?.iter().any(|path| wanted(path)) {
                    return Err(DataError::spec(
                        "source",
                        format!(
                            "{} holds files below the folder of a class, which are no rows",
                            deeper.display()
                        ),
                    )
                    .with_hint(
                        "move the files up into the class's own folder, or the folder out of the data",
                    ));
                }
            }
            files.extend(inside.into_iter().filter(|path| wanted(path)));
        } else if wanted(&entry) {
            files.push(entry);
        }
    }
    Ok(files)
}

/// What programs keep for themselves, such as `.ipynb_checkpoints`, is no data.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn push_file(path: &Path, builders: &mut Builders) -> Result<(), DataError> {
    for builder in &mut builders.columns {
        let name = builder.field.name.clone();
        let place = at(path, 1, &name);
        match &builder.field.kind {
            FieldKind::Image { .. } => {
                let bytes = read_whole(path)?.map_err(&place)?;
                builder.push_picture(Picture::decode(&bytes).map_err(&place)?).map_err(place)?;
            }
            FieldKind::Audio { .. } => {
                let bytes = read_whole(path)?.map_err(&place)?;
                builder.push_sound(&bytes).map_err(place)?;
            }
            FieldKind::Category { .. } => {
                let class = path.parent().and_then(Path::file_name).and_then(|class| class.to_str());
                let class = class.ok_or_else(|| place(Problem::new("the folder's name is no UTF-8 text")))?;
                builder.push_text(class).map_err(place)?;
            }
            _ => {
                return Err(DataError::spec(
                    &*name,
                    "a folder of images or sounds gives those and their class, nothing else",
                ));
            }
        }
    }
    builders.rows += 1;
    Ok(())
}

fn read_whole(path: &Path) -> Result<Result<Vec<u8>, Problem>, DataError> {
    let size = std::fs::metadata(path).map_err(|source| io_error(path, source))?.len();
    if size == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    if size > FILE_BYTES_MAX {
        return Ok(Err(Problem::new(format!("the file has {size} bytes, more than any file here"))));
    }
    std::fs::read(path).map(Ok).map_err(|source| io_error(path, source))
}
