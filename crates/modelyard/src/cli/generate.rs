//! `modelyard generate`: a language model goes on with a text, a variational autoencoder draws samples.

use std::path::{Path, PathBuf};

use clap::Args;
use modelyard_data::{Row, Value};
use modelyard_train::{Sampling, TrainedModel};
use serde::Serialize;
use serde_json::{Map, Value as Json};

use crate::cli::arguments::{ModelArgs, StoreArgs};
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard generate poems --prompt 春眠
  modelyard generate poems --temperature 0.7 --top-k 40 --count 5
  modelyard generate poems 3 --prompt 床前 --stop 。 --seed 7
  modelyard generate machine-days --count 5 --seed 1
  modelyard generate faces --count 9 --out drawn

A model with an output of the kind `next_token` continues a text: it draws
token after token until it draws the end of the text, until a text given by
--stop comes, or until there are --max-tokens.

A model with an output of the kind `anomaly` whose network has a layer
`gaussian_sample` draws samples: rows like those it was trained on, in their
own units, a line of JSON for each. Images are written as PNG files into the
folder given by --out, and the lines name them.

The same seed gives the same text or sample. A server does the same: POST
/v1/models/NAME:predict with \"parameters\", see the guides.

With --json: {\"model\": name, \"version\": number, \"texts\": [{\"prompt\", \"text\":
  what was drawn, \"tokens\": count, \"finish\": \"end\", \"stop\" or \"length\", \"seed\"},
  …]}, or {\"model\", \"version\", \"samples\": [{\"seed\", \"row\": {input: value, …}}, …]}";

/// Continue a text with a language model, or draw samples from a variational autoencoder.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The beginning of the text; without one the model begins itself.
    #[arg(
        long,
        env = "MODELYARD_PROMPT",
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    prompt: String,
    /// Of texts: below 1 likely tokens get likelier; 0 always takes the likeliest [default: 1].
    #[arg(long, env = "MODELYARD_TEMPERATURE", value_name = "NUMBER")]
    #[arg(allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Of texts: draw only among so many of the likeliest tokens [default: all].
    #[arg(long, env = "MODELYARD_TOP_K", value_name = "COUNT")]
    top_k: Option<usize>,
    /// Of texts: draw only among the fewest likeliest tokens that together have at least this probability
    /// [default: all].
    #[arg(long, env = "MODELYARD_TOP_P", value_name = "SHARE")]
    top_p: Option<f32>,
    /// The seed of the first text or sample; those after it take the next ones.
    #[arg(long, env = "MODELYARD_SEED", value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Of texts: stop after so many tokens [default: 200].
    #[arg(long, env = "MODELYARD_MAX_TOKENS", value_name = "COUNT")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_tokens: Option<u32>,
    /// Of texts: stop where this text comes; may be given several times.
    #[arg(long, env = "MODELYARD_STOP", value_name = "TEXT")]
    stop: Vec<String>,
    /// How many texts or samples to draw.
    #[arg(long, env = "MODELYARD_COUNT", value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    /// Of samples with images: the folder to write them to; it is made where it is missing.
    #[arg(long, env = "MODELYARD_OUT", value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    store: StoreArgs,
}

const MAX_TOKENS_USUAL: u32 = 200;
/// Characters of an input's name in that of a file: with 4 bytes each they stay below the 255 that systems take.
const NAME_CHARS_MAX: usize = 50;

#[derive(Serialize)]
struct GenerateJson<'a> {
    model: &'a str,
    version: u64,
    #[serde(flatten)]
    drawn: Drawn,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Drawn {
    Texts(Vec<TextJson>),
    Samples(Vec<SampleJson>),
}

#[derive(Serialize)]
struct TextJson {
    prompt: String,
    text: String,
    tokens: usize,
    finish: &'static str,
    seed: u64,
}

#[derive(Serialize)]
struct SampleJson {
    seed: u64,
    row: Map<String, Json>,
}

/// Draws and prints.
///
/// # Errors
/// A version that is not there or generates nothing, and settings that can never work.
pub(crate) fn run(args: &GenerateArgs, output: &mut Output) -> Result<(), Failure> {
    let (version, files) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let version = registry.find(&args.model.model, &args.model.version).await?;
        let files = registry.load(&version).await?;
        Ok((version, files))
    })?;
    let model = TrainedModel::from_files(|name| files.get(name).map(AsRef::as_ref))?;
    let drawn = if model.pipeline().language().is_some() {
        Drawn::Texts(texts(args, &model, output)?)
    } else {
        Drawn::Samples(samples(args, &model, output)?)
    };
    output.json(&GenerateJson { model: version.name.as_str(), version: version.version.get(), drawn });
    Ok(())
}

impl GenerateArgs {
    fn seeds(&self) -> impl Iterator<Item = u64> {
        (0..u64::from(self.count)).map(|at| self.seed.wrapping_add(at))
    }

    /// The first of the options given that only texts have.
    fn of_texts(&self) -> Option<&'static str> {
        let given = [
            ("--prompt", !self.prompt.is_empty()),
            ("--temperature", self.temperature.is_some()),
            ("--top-k", self.top_k.is_some()),
            ("--top-p", self.top_p.is_some()),
            ("--max-tokens", self.max_tokens.is_some()),
            ("--stop", !self.stop.is_empty()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }
}

fn texts(args: &GenerateArgs, model: &TrainedModel, output: &mut Output) -> Result<Vec<TextJson>, Failure> {
    if args.out.is_some() {
        return Err(Failure::new(
            Exit::Usage,
            "--out is for samples with images, and this model continues texts",
        ));
    }
    let temperature = args.temperature.unwrap_or(Sampling::default().temperature);
    let sampling = Sampling { temperature, top_k: args.top_k, top_p: args.top_p };
    let limits = (args.stop.as_slice(), args.max_tokens.unwrap_or(MAX_TOKENS_USUAL) as usize);
    let mut texts = Vec::new();
    for seed in args.seeds() {
        output.piece(&args.prompt);
        let drawn =
            model.generate(&args.prompt, (sampling.clone(), seed), limits, |piece| output.piece(piece))?;
        output.text("");
        let (tokens, finish) = (drawn.tokens, drawn.finish.as_str());
        texts.push(TextJson { prompt: args.prompt.clone(), text: drawn.text, tokens, finish, seed });
    }
    Ok(texts)
}

fn samples(
    args: &GenerateArgs,
    model: &TrainedModel,
    output: &mut Output,
) -> Result<Vec<SampleJson>, Failure> {
    let rows = model.draw(args.seed, usize::from(args.count))?;
    if let Some(option) = args.of_texts() {
        let message = format!("{option} is for models that continue texts, and this one draws samples");
        return Err(Failure::new(Exit::Usage, message));
    }
    let has_images = rows.iter().flat_map(Row::values).any(|value| matches!(value, Value::Bytes(_)));
    let folder = match (&args.out, has_images) {
        (None, true) => {
            let failure = Failure::new(Exit::Usage, "the samples hold images, which are no text to print");
            return Err(failure.hint("give a folder to write them to: --out FOLDER"));
        }
        (Some(_), false) => {
            return Err(Failure::new(Exit::Usage, "--out is for samples with images, and these have none")
                .hint("the lines on standard output hold the samples: … > samples.jsonl"));
        }
        (folder, _) => folder.as_deref(),
    };
    if let Some(folder) = folder {
        files::make_folder(folder)?;
    }
    let mut samples = Vec::new();
    for (seed, row) in args.seeds().zip(rows) {
        let row = written(row, seed, folder)?;
        output.text(Json::Object(row.clone()).to_string());
        samples.push(SampleJson { seed, row });
    }
    Ok(samples)
}

/// The row as JSON, once its images are files.
fn written(row: Row, seed: u64, folder: Option<&Path>) -> Result<Map<String, Json>, Failure> {
    let mut json = Map::new();
    for (at, (name, value)) in row.into_iter().enumerate() {
        let value = match (&value, folder) {
            (Value::Bytes(png), Some(folder)) => {
                let path = folder.join(format!("{}-{}-{seed}.png", at + 1, plain(&name)));
                files::write_new(&path, png)?;
                Json::from(path.display().to_string())
            }
            (value, _) => value.to_json(),
        };
        json.insert(name, value);
    }
    Ok(json)
}

/// An input's name, or the beginning of a long one, as part of a file's name; other inputs' may look the same.
fn plain(name: &str) -> String {
    name.chars()
        .take(NAME_CHARS_MAX)
        .map(|letter| if letter.is_alphanumeric() { letter } else { '_' })
        .collect()
}
