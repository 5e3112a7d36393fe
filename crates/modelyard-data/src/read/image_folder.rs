//! A folder per class with PNG and JPEG files in it. Without outputs (rows to predict) the images may also
//! lie in the folder itself.

use std::path::{Path, PathBuf};

use super::open::{io_error, list};
use super::{Files, Reader};
use crate::error::{DataError, Problem};
use crate::fields::{Builders, FieldKind, at};
use crate::picture::Picture;
use crate::spec::{Format, SourceSpec};

/// No image file is larger than this.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// A folder per class.
pub(crate) struct ImageFolder;

impl Reader for ImageFolder {
    fn format(&self) -> Format {
        Format::ImageFolder
    }

    fn endings(&self) -> &'static [&'static str] {
        &[]
    }

    fn read(&self, files: &Files, _: &SourceSpec, builders: &mut Builders) -> Result<(), DataError> {
        let labelled = builders.columns.iter().any(|builder| builder.field.is_output);
        for folder in &files.data {
            let images = image_files(folder)?;
            let images: Vec<&PathBuf> =
                images.iter().filter(|image| !labelled || image.parent() != Some(folder)).collect();
            if images.is_empty() {
                return Err(DataError::NoRows { path: folder.clone() });
            }
            for image in images {
                push_image(image, builders)?;
            }
        }
        Ok(())
    }
}

/// Decodes the bytes of a PNG or JPEG file within limits on size and memory.
///
/// # Errors
/// [`DataError`] where they are no such image, or one too large.
pub fn from_bytes(bytes: &[u8]) -> Result<Picture, DataError> {
    Picture::decode(bytes).map_err(at(Path::new(super::open::NO_FILE), 1, "image"))
}

/// Every image of the folder and its class folders, sorted.
pub(crate) fn image_files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut images = Vec::new();
    for entry in list(folder)? {
        if entry.is_dir() {
            images.extend(list(&entry)?.into_iter().filter(|path| is_image(path)));
        } else if is_image(&entry) {
            images.push(entry);
        }
    }
    Ok(images)
}

fn is_image(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

fn push_image(path: &Path, builders: &mut Builders) -> Result<(), DataError> {
    for builder in &mut builders.columns {
        let name = builder.field.name.clone();
        let place = at(path, 1, &name);
        match &builder.field.kind {
            FieldKind::Image { .. } => {
                let picture = decode_file(path)?.map_err(&place)?;
                builder.push_picture(picture).map_err(place)?;
            }
            FieldKind::Category { .. } => {
                let class = path.parent().and_then(Path::file_name).and_then(|class| class.to_str());
                let class = class.ok_or_else(|| place(Problem::new("the folder's name is no UTF-8 text")))?;
                builder.push_text(class).map_err(place)?;
            }
            _ => {
                return Err(DataError::spec(
                    &*name,
                    "a folder of images gives an image and its class, nothing else",
                ));
            }
        }
    }
    builders.rows += 1;
    Ok(())
}

fn decode_file(path: &Path) -> Result<Result<Picture, Problem>, DataError> {
    let size = std::fs::metadata(path).map_err(|source| io_error(path, source))?.len();
    if size == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    if size > FILE_BYTES_MAX {
        return Ok(Err(Problem::new(format!("the file has {size} bytes, more than any image"))));
    }
    let bytes = std::fs::read(path).map_err(|source| io_error(path, source))?;
    Ok(Picture::decode(&bytes))
}
