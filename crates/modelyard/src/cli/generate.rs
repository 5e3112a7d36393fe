//! `modelyard generate`: a language model goes on with a text.

use clap::Args;
use modelyard_train::{Sampling, TrainedModel};
use serde::Serialize;

use crate::cli::arguments::{ModelArgs, StoreArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::wiring;

const HELP: &str = "\
Examples:
  modelyard generate poems --prompt 春眠
  modelyard generate poems --temperature 0.7 --top-k 40 --count 5
  modelyard generate poems 3 --prompt 床前 --stop 。 --seed 7

The model must have an output of the kind `next_token`. It draws token after
token until it draws the end of the text, until a text given by --stop comes,
or until there are --max-tokens. The same seed gives the same text. A server
does the same: POST /predict with {\"input\": {\"text\": …}, \"parameters\":
{\"temperature\": …}}.

With --json: {\"model\": name, \"version\": number, \"texts\": [{\"prompt\", \"text\":
  what was drawn, \"tokens\": count, \"finish\": \"end\", \"stop\" or \"length\", \"seed\"},
  …]}";

/// Continue a text with a language model.
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
    /// Below 1 likely tokens get likelier; 0 always takes the likeliest.
    #[arg(long, env = "MODELYARD_TEMPERATURE", value_name = "NUMBER", default_value_t = 1.0)]
    #[arg(allow_negative_numbers = true)]
    temperature: f32,
    /// Draw only among so many of the likeliest tokens [default: all].
    #[arg(long, env = "MODELYARD_TOP_K", value_name = "COUNT")]
    top_k: Option<usize>,
    /// Draw only among the fewest likeliest tokens that together have at least this probability [default: all].
    #[arg(long, env = "MODELYARD_TOP_P", value_name = "SHARE")]
    top_p: Option<f32>,
    /// The seed of the first text; those after it take the next ones.
    #[arg(long, env = "MODELYARD_SEED", value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Stop after so many tokens.
    #[arg(long, env = "MODELYARD_MAX_TOKENS", value_name = "COUNT", default_value_t = 200)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_tokens: u32,
    /// Stop where this text comes; may be given several times.
    #[arg(long, env = "MODELYARD_STOP", value_name = "TEXT")]
    stop: Vec<String>,
    /// How many texts to draw.
    #[arg(long, env = "MODELYARD_COUNT", value_name = "COUNT", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    count: u16,
    #[command(flatten)]
    store: StoreArgs,
}

#[derive(Serialize)]
struct GenerateJson<'a> {
    model: &'a str,
    version: u64,
    texts: Vec<TextJson<'a>>,
}

#[derive(Serialize)]
struct TextJson<'a> {
    prompt: &'a str,
    text: String,
    tokens: usize,
    finish: &'static str,
    seed: u64,
}

/// Draws and prints.
///
/// # Errors
/// A version that is not there or is no language model, and settings that can never work.
pub(crate) fn run(args: &GenerateArgs, output: &mut Output) -> Result<(), Failure> {
    let (version, files) = wiring::block_on(async {
        let registry = wiring::open_existing(&args.store.store).await?;
        let version = registry.find(&args.model.model, &args.model.version).await?;
        let files = registry.load(&version).await?;
        Ok((version, files))
    })?;
    let model = TrainedModel::from_files(|name| files.get(name).map(AsRef::as_ref))?;
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, top_p: args.top_p };
    let mut texts = Vec::new();
    for seed in (0..u64::from(args.count)).map(|at| args.seed.wrapping_add(at)) {
        let limits = (args.stop.as_slice(), args.max_tokens as usize);
        let drawn = model.generate(&args.prompt, sampling.clone(), seed, limits)?;
        output.text(format!("{}{}", args.prompt, drawn.text));
        let (tokens, finish) = (drawn.tokens, drawn.finish.as_str());
        texts.push(TextJson { prompt: &args.prompt, text: drawn.text, tokens, finish, seed });
    }
    output.json(&GenerateJson { model: version.name.as_str(), version: version.version.get(), texts });
    Ok(())
}
