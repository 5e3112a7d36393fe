//! Writes what is generated from the project file's types: `schemas/project.schema.json` and
//! `docs/reference/project-file.md`.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = [
        ("schemas/project.schema.json", modelyard_train::project_schema_json()),
        ("docs/reference/project-file.md", modelyard_train::project_reference_markdown()),
    ];
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("the paths have folders"))?;
        fs::write(path, text)?;
    }
    Ok(())
}
