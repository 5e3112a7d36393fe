//! What is generated from the project file's types stands in the repository as it is generated, and holds for the
//! example projects.

use std::path::Path;

fn compare(path: &str, generated: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        stored == generated,
        "{path} is out of date: run `cargo run -p modelyard-train --example write_reference`"
    );
}

#[test]
fn the_schema_is_current() {
    compare("schemas/project.schema.json", &modelyard_train::project_schema_json());
}

#[test]
fn the_reference_page_is_current() {
    compare("docs/reference/project-file.md", &modelyard_train::project_reference_markdown());
}
