//! `modelyard predict`: a file of rows in, the same rows with answers out.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::builder::FalseyValueParser;
use clap::{Args, ValueEnum};
use modelyard_data::read::{format_of, image_folder::row_files};
use modelyard_data::{Answer, Dataset, ForecastStep, Format, Prediction, Windows};
use modelyard_train::TrainedModel;
use serde_json::{Map, Value, json};

use crate::cli::arguments::ThreadsArgs;
use crate::failure::{Exit, Failure};
use crate::output::Output;
use crate::stored::{ModelAndData, Stored};

const HELP: &str = "\
Examples:
  modelyard predict digits november.csv > answers.csv
  modelyard predict digits november.csv --out answers.csv --probabilities
  modelyard predict clothes pictures/           a folder of images
  modelyard predict digits november.csv --json | head -1

A CSV or TSV file comes back with `predicted_NAME` beside its own columns, and
`probability` where the answer is a category; a folder of images with the name
of each file. Other formats come back as the answers alone, in the order of
the rows. Columns that the model does not use may be there; the answers need
not be.

Of a model of windows, the last row of each window is answered; the rows before
the first window come back without an answer (`null` as JSON).

With --json or --format jsonl, one line for each row, as the HTTP routes
  answer: {output: number}, or {output: {\"label\": class, \"probabilities\":
  {class: number, …}}} for categories";

/// Answer every row of a file.
#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct PredictArgs {
    #[command(flatten)]
    asked: ModelAndData,
    /// The file to write, which must not be there yet [default: standard output].
    #[arg(long, short, env = "MODELYARD_OUT", value_name = "FILE")]
    out: Option<PathBuf>,
    /// How to write the answers.
    #[arg(long, env = "MODELYARD_FORMAT", value_name = "FORMAT")]
    format: Option<AnswerFormat>,
    /// The probability of every class, not only of the answer.
    #[arg(long, env = "MODELYARD_PROBABILITIES", value_parser = FalseyValueParser::new())]
    probabilities: bool,
    #[command(flatten)]
    threads: ThreadsArgs,
}

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum AnswerFormat {
    /// A line of cells for each row, under a header.
    Csv,
    /// A JSON object for each row.
    Jsonl,
}

/// Answers the rows.
///
/// # Errors
/// A version or file that is not there, rows that do not fit, or a place that is taken.
pub(crate) fn run(args: &PredictArgs, output: &mut Output) -> Result<(), Failure> {
    let stored = Stored::load(&args.asked)?;
    let spec = stored.model.pipeline().spec_of_columns().inputs_only();
    let dataset = stored.read(&args.asked.data, None, &spec)?;
    let format =
        args.format.unwrap_or(if output.is_json() { AnswerFormat::Jsonl } else { AnswerFormat::Csv });
    let target = args.out.as_deref().map(Target::new).transpose()?;
    let mut writer: Box<dyn AnswerWriter> = match format {
        AnswerFormat::Jsonl => Box::new(JsonLines { out: open(target.as_ref())? }),
        AnswerFormat::Csv => Box::new(Cells::new(args, &stored, open(target.as_ref())?)?),
    };
    let threads = args.threads.count();
    let written = match dataset.windows() {
        None => stored.model.predict(&dataset, threads, |answers| writer.write(&answers)),
        Some(windows) => windows_answered(&stored.model, &dataset, windows, threads)
            .and_then(|answers| write_rows(writer.as_mut(), &answers)),
    };
    match written.and_then(|()| writer.finish()) {
        Err(Stopped::ReaderLeft) => Ok(()),
        Ok(()) => target.map_or(Ok(()), Target::keep),
        Err(Stopped::Failed(failure)) => Err(failure),
    }
}

/// The file of the answers, which has another name until the last one is written: a file of this name is whole.
struct Target {
    path: PathBuf,
    unfinished: PathBuf,
}

impl Target {
    /// # Errors
    /// A place that is taken.
    fn new(path: &Path) -> Result<Self, Failure> {
        if path.exists() {
            return Err(Failure::new(Exit::BadInput, format!("{} is there already", path.display()))
                .hint("remove it, or name another file with --out"));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        Ok(Self { path: path.to_owned(), unfinished: unfinished.into() })
    }

    /// Gives the file its name.
    fn keep(self) -> Result<(), Failure> {
        std::fs::rename(&self.unfinished, &self.path)
            .map_err(|error| Failure::io(format!("cannot write {}", self.path.display()), &error))
    }
}

impl Drop for Target {
    /// Half a file of answers is of no use to anybody.
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.unfinished);
    }
}

/// The answer of each row of the files at which a window ends, in their order.
fn windows_answered(
    model: &TrainedModel,
    dataset: &Dataset,
    windows: &Windows,
    threads: usize,
) -> Result<Vec<Option<Answer>>, Stopped> {
    let origins = (0..dataset.rows()).filter_map(|row| windows.origin(row));
    let mut rows = vec![None; origins.max().map_or(0, |last| last + 1)];
    let mut ends = windows.ends().iter();
    model.predict::<Stopped>(dataset, threads, |answers| {
        for (answer, &end) in answers.into_iter().zip(&mut ends) {
            let row = windows.origin(end).expect("no window ends at a row that was put into a gap");
            rows[row] = Some(answer);
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Writes each row of the files, answered or not.
fn write_rows(writer: &mut dyn AnswerWriter, rows: &[Option<Answer>]) -> Result<(), Stopped> {
    let Some(first) = rows.iter().flatten().next() else { return Ok(()) };
    for row in rows {
        match row {
            Some(answer) => writer.write(std::slice::from_ref(answer))?,
            None => writer.write_unanswered(first)?,
        }
    }
    Ok(())
}

/// Why writing ended before the last row.
enum Stopped {
    /// Whoever read standard output wants no more (`| head`).
    ReaderLeft,
    /// It could not go on.
    Failed(Failure),
}

impl From<modelyard_train::TrainError> for Stopped {
    fn from(error: modelyard_train::TrainError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::ReaderLeft,
            _ => Self::Failed(Failure::io("cannot write the answers", &error)),
        }
    }
}

impl From<csv::Error> for Stopped {
    fn from(error: csv::Error) -> Self {
        let message = error.to_string();
        match error.into_kind() {
            csv::ErrorKind::Io(error) => error.into(),
            _ => Self::Failed(Failure::new(Exit::BadInput, message)),
        }
    }
}

/// Writes answers in the order of the rows.
trait AnswerWriter {
    fn write(&mut self, answers: &[Answer]) -> Result<(), Stopped>;
    /// A row at which no window ends; others are answered like `model`.
    fn write_unanswered(&mut self, model: &Answer) -> Result<(), Stopped>;
    fn finish(&mut self) -> Result<(), Stopped>;
}

fn open(target: Option<&Target>) -> Result<Box<dyn Write>, Failure> {
    let Some(target) = target else { return Ok(Box::new(BufWriter::new(io::stdout()))) };
    let file = File::create(&target.unfinished)
        .map_err(|error| Failure::io(format!("cannot write {}", target.path.display()), &error))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// A JSON object for each row.
struct JsonLines {
    out: Box<dyn Write>,
}

impl AnswerWriter for JsonLines {
    fn write(&mut self, answers: &[Answer]) -> Result<(), Stopped> {
        for answer in answers {
            writeln!(self.out, "{}", as_json(answer))?;
        }
        Ok(())
    }

    fn write_unanswered(&mut self, _model: &Answer) -> Result<(), Stopped> {
        Ok(writeln!(self.out, "null")?)
    }

    fn finish(&mut self) -> Result<(), Stopped> {
        Ok(self.out.flush()?)
    }
}

/// An answer as the HTTP routes give it.
fn as_json(answer: &Answer) -> Value {
    let output = |(name, prediction): &(String, Prediction)| {
        let value = match prediction {
            Prediction::Number(number) => json!(number),
            Prediction::Text(continuation) => json!({ "text": continuation.text }),
            Prediction::Forecast(steps) => {
                let step = |step: &ForecastStep| match step.interval {
                    Some((low, high)) => {
                        json!({ "step": step.step, "value": step.value, "low": low, "high": high })
                    }
                    None => json!({ "step": step.step, "value": step.value }),
                };
                json!({ "forecast": steps.iter().map(step).collect::<Vec<_>>() })
            }
            Prediction::Anomaly { score, threshold, shares } => {
                let shares: Map<String, Value> =
                    shares.iter().map(|(name, share)| (name.clone(), json!(share))).collect();
                let anomalous = prediction.is_anomalous();
                json!({ "score": score, "threshold": threshold, "anomalous": anomalous, "shares": shares })
            }
            Prediction::Category { label, probabilities } => {
                json!({ "label": label, "probabilities": by_class(probabilities) })
            }
            Prediction::Labels { labels, probabilities } => {
                json!({ "labels": labels, "probabilities": by_class(probabilities) })
            }
        };
        (name.clone(), value)
    };
    Value::Object(answer.outputs.iter().map(output).collect())
}

fn by_class(probabilities: &[(String, f32)]) -> Map<String, Value> {
    probabilities.iter().map(|(class, p)| (class.clone(), json!(p))).collect()
}

/// The cells of the input with those of the answer behind them.
struct Cells {
    rows: OwnCells,
    out: csv::Writer<Box<dyn Write>>,
    /// Names of the input's columns, until the header is written.
    header: Option<csv::StringRecord>,
    probabilities: bool,
}

/// What of the input stands before each answer.
enum OwnCells {
    /// The cells of the table's next row.
    Table(Box<csv::Reader<File>>),
    /// The name of the next image.
    Files(std::vec::IntoIter<PathBuf>),
    /// Nothing: arrays and JSON are no cells.
    Nothing,
}

impl OwnCells {
    /// The cells of the next row.
    fn next(&mut self, cells: &mut csv::StringRecord) -> Result<(), csv::Error> {
        cells.clear();
        match self {
            Self::Table(reader) => drop(reader.read_record(cells)?),
            Self::Files(files) => cells.extend(files.next().map(|file| file.display().to_string())),
            Self::Nothing => {}
        }
        Ok(())
    }
}

impl Cells {
    fn new(args: &PredictArgs, stored: &Stored, to: Box<dyn Write>) -> Result<Self, Failure> {
        let path = &args.asked.data;
        let source = stored.source(path, None);
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let is = |format, ending| source.format.map_or(name.ends_with(ending), |declared| declared == format);
        let is_tsv = is(Format::Tsv, ".tsv");
        let delimiter = source.delimiter.unwrap_or(if is_tsv { '\t' } else { ',' });
        let delimiter = u8::try_from(delimiter).ok().filter(|_| is_tsv || is(Format::Csv, ".csv"));
        let mut out = csv::WriterBuilder::new();
        let (rows, header) = match delimiter {
            _ if path.is_dir() => {
                let format = source.format.or_else(|| format_of(path)).unwrap_or(Format::ImageFolder);
                let files = row_files(path, format)?;
                (OwnCells::Files(files.into_iter()), csv::StringRecord::from(vec!["file"]))
            }
            Some(delimiter) => {
                out.delimiter(delimiter);
                table(path, delimiter, source.has_header)?
            }
            None => (OwnCells::Nothing, csv::StringRecord::new()),
        };
        let out = out.from_writer(to);
        Ok(Self { rows, out, header: Some(header), probabilities: args.probabilities })
    }

    fn write_header(&mut self, answer: &Answer) -> Result<(), Stopped> {
        let Some(mut header) = self.header.take() else { return Ok(()) };
        for (name, prediction) in &answer.outputs {
            for cell in header_cells(name, prediction, self.probabilities) {
                header.push_field(&cell);
            }
        }
        Ok(self.out.write_record(&header)?)
    }
}

impl AnswerWriter for Cells {
    fn write(&mut self, answers: &[Answer]) -> Result<(), Stopped> {
        if let Some(first) = answers.first() {
            self.write_header(first)?;
        }
        let mut cells = csv::StringRecord::new();
        for answer in answers {
            self.rows.next(&mut cells)?;
            for (_, prediction) in &answer.outputs {
                push_cells(&mut cells, prediction, self.probabilities);
            }
            self.out.write_record(&cells)?;
        }
        Ok(())
    }

    fn write_unanswered(&mut self, model: &Answer) -> Result<(), Stopped> {
        self.write_header(model)?;
        let mut cells = csv::StringRecord::new();
        self.rows.next(&mut cells)?;
        for (name, prediction) in &model.outputs {
            header_cells(name, prediction, self.probabilities).iter().for_each(|_| cells.push_field(""));
        }
        Ok(self.out.write_record(&cells)?)
    }

    fn finish(&mut self) -> Result<(), Stopped> {
        Ok(self.out.flush()?)
    }
}

/// The names of the cells that [`push_cells`] fills.
fn header_cells(name: &str, prediction: &Prediction, every_class: bool) -> Vec<String> {
    match prediction {
        Prediction::Number(_) | Prediction::Text(_) => vec![format!("predicted_{name}")],
        Prediction::Category { probabilities, .. } | Prediction::Labels { probabilities, .. } => {
            let classes = probabilities.iter().map(|(class, _)| format!("probability_{class}"));
            let rest = match prediction {
                _ if every_class => classes.collect(),
                Prediction::Labels { .. } => Vec::new(),
                _ => vec!["probability".to_owned()],
            };
            [vec![format!("predicted_{name}")], rest].concat()
        }
        Prediction::Forecast(steps) => {
            let of = |step: &ForecastStep| {
                let ends: &[&str] = if step.interval.is_some() { &["", "_low", "_high"] } else { &[""] };
                ends.iter().map(|end| format!("predicted_{name}_{}{end}", step.step)).collect::<Vec<_>>()
            };
            steps.iter().flat_map(of).collect()
        }
        Prediction::Anomaly { .. } => vec![format!("predicted_{name}"), "score".to_owned()],
    }
}

/// The rows of a table of text, and the names of its columns. A compressed one is not read a second time.
fn table(path: &Path, delimiter: u8, has_header: bool) -> Result<(OwnCells, csv::StringRecord), Failure> {
    if path.extension().is_some_and(|ending| ending == "gz") {
        return Ok((OwnCells::Nothing, csv::StringRecord::new()));
    }
    let cannot =
        |error: csv::Error| Failure::new(Exit::BadInput, format!("cannot read {}: {error}", path.display()));
    let mut reader = csv::ReaderBuilder::new();
    reader.delimiter(delimiter).has_headers(has_header);
    let mut reader = reader.from_path(path).map_err(cannot)?;
    let mut header = reader.headers().map_err(cannot)?.clone();
    if !has_header {
        header = (0..header.len()).map(|column| format!("c{column}")).collect();
    }
    Ok((OwnCells::Table(Box::new(reader)), header))
}

fn push_cells(cells: &mut csv::StringRecord, prediction: &Prediction, every_class: bool) {
    match prediction {
        Prediction::Number(number) => cells.push_field(&number.to_string()),
        Prediction::Text(continuation) => cells.push_field(&continuation.text),
        Prediction::Labels { labels, probabilities } => {
            cells.push_field(&labels.join(";"));
            if every_class {
                probabilities
                    .iter()
                    .for_each(|(_, probability)| cells.push_field(&format!("{probability:.6}")));
            }
        }
        Prediction::Forecast(steps) => {
            for step in steps {
                cells.push_field(&step.value.to_string());
                for end in step.interval.iter().flat_map(|(low, high)| [low, high]) {
                    cells.push_field(&end.to_string());
                }
            }
        }
        Prediction::Anomaly { score, .. } => {
            cells.push_field(if prediction.is_anomalous() { "yes" } else { "no" });
            cells.push_field(&score.to_string());
        }
        Prediction::Category { label, probabilities } => {
            cells.push_field(label);
            for (class, probability) in probabilities {
                if every_class || class == label {
                    cells.push_field(&format!("{probability:.6}"));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_its_json() {
        let category = Prediction::Category {
            label: "yes".to_owned(),
            probabilities: vec![("no".to_owned(), 0.25), ("yes".to_owned(), 0.75)],
        };
        let answer = Answer { outputs: vec![("bought".to_owned(), category)] };
        assert_eq!(
            as_json(&answer),
            json!({ "bought": { "label": "yes", "probabilities": { "no": 0.25, "yes": 0.75 } } })
        );
    }
}
