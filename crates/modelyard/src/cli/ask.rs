//! `modelyard ask`: rows to a running server, and their answers back.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use modelyard_client::{Client, ClientConfig};
use serde_json::Value;

use crate::failure::{Exit, Failure};
use crate::wiring;

/// Stands for standard input.
const STDIN: &str = "-";

const HELP: &str = "\
Examples:
  echo '{\"width\": 3, \"height\": 1}' | modelyard ask shapes
  modelyard ask shapes rows.jsonl --server http://models:8080 > answers.jsonl
  modelyard ask shapes rows.jsonl --model-version 3          version 3, whatever is live

The rows are JSON, one a line: values by the names of the model's inputs, or
the bare value where there is one. Each row comes back as a line of JSON, as
POST /v1/models/NAME:predict answers it. What a server refuses because it is
full or starting is asked up to four times, within --timeout-ms.";

/// Ask a running server.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct AskArgs {
    /// The model's name.
    model: String,
    /// The file of rows, or standard input by `-`.
    #[arg(default_value = STDIN)]
    rows: PathBuf,
    /// Where the server listens.
    #[arg(long, env = "MODELYARD_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// A version's number or an alias [default: the one that is live].
    #[arg(long, env = "MODELYARD_MODEL_VERSION", value_name = "VERSION")]
    model_version: Option<String>,
    /// Rows that are sent at once.
    #[arg(long, env = "MODELYARD_ROWS_AT_ONCE", value_name = "COUNT", default_value_t = 64)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    rows_at_once: u16,
    /// How long each request may take, tries included, in milliseconds.
    #[arg(long, env = "MODELYARD_TIMEOUT_MS", value_name = "MS", default_value_t = 30_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    timeout_ms: u64,
}

/// Asks and prints.
///
/// # Errors
/// Rows that are no JSON, a server that is not there, and whatever it refuses.
pub(crate) fn run(args: &AskArgs) -> Result<(), Failure> {
    let config = ClientConfig { timeout: Duration::from_millis(args.timeout_ms), ..ClientConfig::default() };
    let client = Client::new(&args.server, config)?;
    let mut rows = Rows::open(&args.rows)?;
    wiring::block_on(async {
        let mut out = io::stdout().lock();
        loop {
            let some = rows.next(args.rows_at_once.into())?;
            if some.is_empty() {
                return Ok(());
            }
            let answers = client.predict(&args.model, args.model_version.as_deref(), &some).await?;
            let written = answers.iter().try_for_each(|answer| writeln!(out, "{answer}"));
            match written {
                // Whoever read standard output wants no more (`| head`).
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Failure::io("cannot write the answers", &error)),
                Ok(()) => {}
            }
        }
    })
}

/// JSON values, one a line.
struct Rows {
    name: String,
    lines: io::Lines<Box<dyn BufRead>>,
    number: usize,
}

impl Rows {
    /// # Errors
    /// A file that cannot be read.
    fn open(path: &Path) -> Result<Self, Failure> {
        let from: Box<dyn BufRead> = if path == Path::new(STDIN) {
            Box::new(BufReader::new(io::stdin()))
        } else {
            let file = File::open(path).map_err(|error| {
                Failure::new(Exit::NotFound, format!("cannot read {}", path.display()))
                    .caused_by(&error)
                    .hint("name a file of JSON lines, or - for standard input")
            })?;
            Box::new(BufReader::new(file))
        };
        Ok(Self { name: path.display().to_string(), lines: from.lines(), number: 0 })
    }

    /// The next rows, at most so many; none at the end.
    fn next(&mut self, most: usize) -> Result<Vec<Value>, Failure> {
        let mut rows = Vec::new();
        while rows.len() < most {
            let Some(line) = self.lines.next() else { break };
            self.number += 1;
            let line = line.map_err(|error| Failure::io(format!("cannot read {}", self.name), &error))?;
            if line.trim().is_empty() {
                continue;
            }
            rows.push(serde_json::from_str(&line).map_err(|error| {
                Failure::new(Exit::BadInput, format!("{}:{}: no JSON: {error}", self.name, self.number))
                    .hint("write one row a line, such as {\"width\": 3, \"height\": 1}")
            })?);
        }
        Ok(rows)
    }
}
