//! `modelyard new`: a project folder to start from, with real data in it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use modelyard_types::ModelName;
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::Output;

const HELP: &str = "\
Examples:
  modelyard new penguins                          tell penguin species apart, from a CSV file
  modelyard new weights --template table-regression    predict a number, from a CSV file
  modelyard new demand --template forecast        forecast a series, from a CSV file
  modelyard new pumps --template remaining-life   how long machines still run
  modelyard new motor --template anomaly          what is unusual in a series
  modelyard new clothes --template images         tell pictures apart, from a folder of PNG files
  modelyard new reviews --template text           tell texts apart, English and Chinese
  modelyard new verses --template language-model  go on with a text, from 400 Chinese quatrains
  modelyard new items --template multimodal       a picture, a number and a text in one network

The folder runs as it is (`modelyard up penguins`). Then put your own data in
and edit `modelyard.toml`; `modelyard check` says what does not fit yet.

With --json: {\"project\": name, \"folder\": path, \"template\": name, \"files\":
  [path, …]}";

/// Make a project folder to start from, with real data that trains at once.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct NewArgs {
    /// The folder to make; its last part becomes the project's name.
    folder: PathBuf,
    /// What kind of project.
    #[arg(long, env = "MODELYARD_TEMPLATE", default_value = "table-classification", value_name = "NAME")]
    template: Template,
}

/// The kinds of project to start from.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Template {
    /// Rows of a table into classes: the species of 342 penguins.
    TableClassification,
    /// Rows of a table into a number: the weight of 342 penguins.
    TableRegression,
    /// Hours of a series into the next ones: the demand of 12 weeks.
    Forecast,
    /// Rows of machines until they fail into the time that is left: 24 pumps.
    RemainingLife,
    /// A series into what is unusual in it: eleven days of a motor.
    Anomaly,
    /// Pictures into classes: 120 photographs of boots, bags and trousers.
    Images,
    /// Texts into classes: 480 short reviews, English and Chinese.
    Text,
    /// Texts that go on: a language model of 400 Chinese quatrains.
    LanguageModel,
    /// A picture, a number and a text into a class: 120 items of a shop.
    Multimodal,
}

#[derive(Serialize)]
struct NewJson<'a> {
    project: &'a str,
    folder: &'a Path,
    template: &'a str,
    files: Vec<String>,
}

const PENGUINS: &[u8] = include_bytes!("../../templates/penguins.csv");

/// The template's files: path in the folder and content. `{name}` stands for the project's name.
fn files_of(template: Template) -> Vec<(String, &'static [u8])> {
    match template {
        Template::TableClassification => vec![
            file("modelyard.toml", include_bytes!("../../templates/table-classification/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/table-classification/README.md")),
            file("penguins.csv", PENGUINS),
        ],
        Template::TableRegression => vec![
            file("modelyard.toml", include_bytes!("../../templates/table-regression/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/table-regression/README.md")),
            file("penguins.csv", PENGUINS),
        ],
        Template::Forecast => vec![
            file("modelyard.toml", include_bytes!("../../templates/forecast/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/forecast/README.md")),
            file("demand.csv", include_bytes!("../../templates/forecast/demand.csv")),
        ],
        Template::RemainingLife => vec![
            file("modelyard.toml", include_bytes!("../../templates/remaining-life/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/remaining-life/README.md")),
            file("pumps.csv", include_bytes!("../../templates/remaining-life/pumps.csv")),
        ],
        Template::Anomaly => vec![
            file("modelyard.toml", include_bytes!("../../templates/anomaly/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/anomaly/README.md")),
            file("motor.csv", include_bytes!("../../templates/anomaly/motor.csv")),
        ],
        Template::Text => vec![
            file("modelyard.toml", include_bytes!("../../templates/text/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/text/README.md")),
            file("reviews.csv", include_bytes!("../../templates/text/reviews.csv")),
        ],
        Template::LanguageModel => vec![
            file("modelyard.toml", include_bytes!("../../templates/language-model/modelyard.toml")),
            file("README.md", include_bytes!("../../templates/language-model/README.md")),
            file("poems.txt", include_bytes!("../../templates/language-model/poems.txt")),
        ],
        Template::Multimodal => {
            let mut files = vec![
                file("modelyard.toml", include_bytes!("../../templates/multimodal/modelyard.toml")),
                file("README.md", include_bytes!("../../templates/multimodal/README.md")),
                file("items.csv", include_bytes!("../../templates/multimodal/items.csv")),
            ];
            files.extend(pictures());
            files
        }
        Template::Images => {
            let mut files = vec![
                file("modelyard.toml", include_bytes!("../../templates/images/modelyard.toml")),
                file("README.md", include_bytes!("../../templates/images/README.md")),
            ];
            files.extend(pictures());
            files
        }
    }
}

fn file(path: &str, content: &'static [u8]) -> (String, &'static [u8]) {
    (path.to_owned(), content)
}

/// The same forty numbers for each class of pictures.
macro_rules! forty_of {
    ($($class:literal),*) => { vec![$(numbered!($class,
        "01" "02" "03" "04" "05" "06" "07" "08" "09" "10" "11" "12" "13" "14" "15" "16" "17" "18" "19" "20"
        "21" "22" "23" "24" "25" "26" "27" "28" "29" "30" "31" "32" "33" "34" "35" "36" "37" "38" "39" "40")),*
    ] };
}

macro_rules! numbered {
    ($class:literal, $($number:literal)*) => { [$((
        concat!("pictures/", $class, "/", $number, ".png"),
        include_bytes!(concat!("../../templates/images/pictures/", $class, "/", $number, ".png")).as_slice(),
    )),*] };
}

fn pictures() -> Vec<(String, &'static [u8])> {
    let classes = forty_of!("bag", "boot", "trousers");
    classes.into_iter().flatten().map(|(path, bytes)| file(path, bytes)).collect()
}

/// Writes the template.
///
/// # Errors
/// A folder that is there and not empty, a name that is no model name, or a disk that refuses.
pub(crate) fn run(args: &NewArgs, output: &mut Output) -> Result<(), Failure> {
    let name = project_name(&args.folder)?;
    refuse_filled(&args.folder)?;
    let mut written = Vec::new();
    for (path, content) in files_of(args.template) {
        write_file(&args.folder.join(&path), content, name.as_str())?;
        written.push(path);
    }
    let folder = args.folder.display();
    output.text(format!("made {folder} with {} files", written.len()));
    output.text(format!("\n  modelyard up {folder}        train, score, publish and serve it"));
    output.text(format!("  modelyard check {folder}     after changing modelyard.toml or the data"));
    output.json(&NewJson {
        project: name.as_str(),
        folder: &args.folder,
        template: args.template.to_possible_value().as_ref().map_or("", |value| value.get_name()),
        files: written,
    });
    Ok(())
}

fn project_name(folder: &Path) -> Result<ModelName, Failure> {
    let last = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    last.parse().map_err(|error| {
        Failure::new(Exit::BadInput, format!("the folder's name cannot be the project's name: {error}"))
            .hint("choose a folder name such as `penguins`")
    })
}

fn refuse_filled(folder: &Path) -> Result<(), Failure> {
    let filled = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure::io(format!("cannot look into {}", folder.display()), &error)),
    };
    if filled {
        let message = format!("{} is there already and is not empty", folder.display());
        return Err(Failure::new(Exit::BadInput, message).hint("name a folder that is not there yet"));
    }
    Ok(())
}

fn write_file(path: &Path, content: &[u8], name: &str) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::io(format!("cannot write {}", path.display()), &error);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(cannot)?;
    }
    match std::str::from_utf8(content) {
        Ok(text) => fs::write(path, text.replace("{name}", name)),
        Err(_) => fs::write(path, content),
    }
    .map_err(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_carries_a_project_file_and_data() {
        for template in Template::value_variants() {
            let files = files_of(*template);
            assert!(files.iter().any(|(path, _)| path == "modelyard.toml"));
            assert!(files.len() >= 3, "{template:?} has data");
            assert!(files.iter().all(|(_, content)| !content.is_empty()));
        }
    }
}
