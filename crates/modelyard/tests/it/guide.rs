//! The guide for newcomers does what it says: its `sh` blocks are run, one after the other.

use std::fs;
use std::path::Path;

use crate::harness::{repository, run_command};

/// The code blocks of this language in a Markdown text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    text.split(&opening).skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.to_owned())).collect()
}

#[test]
fn the_guide_to_the_first_model_can_be_followed() {
    let guide =
        fs::read_to_string(repository().join("docs/guides/first-model.md")).expect("the guide is there");
    let blocks = blocks(&guide, "sh");
    assert!(blocks.len() >= 6, "the guide has commands in it");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let binary = Path::new(env!("CARGO_BIN_EXE_modelyard"));
    let tools = binary.parent().expect("it stands in a folder").display();
    let script = format!("set -eux\nPATH='{tools}':\"$PATH\"\n{}", blocks.concat());
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("USER", "tester")
        .env_remove("MODELYARD_STORE");
    let ended = run_command(shell).expect(0);
    for text in ["the project fits its data", "published penguins version 2", "exit code 4", "all intact"] {
        assert!(ended.stdout.contains(text), "{text:?}\n{ended}");
    }
    let answers = fs::read_to_string(folder.path().join("answers.csv")).expect("written");
    assert!(
        answers.lines().next().is_some_and(|line| line.ends_with(",predicted_species,probability")),
        "{answers}"
    );
}
