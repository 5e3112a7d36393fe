//! One fitted input: its steps, its labels, and what a request may give for it.

use std::sync::Arc;

use super::FieldInfo;
use super::output::wrong_column;
use crate::dataset::{Column, ColumnData, Dictionary, MISSING, UNKNOWN};
use crate::error::DataError;
use crate::fields::Field;
use crate::spec::Kind;
use crate::transform::{Block, Fitted, Form};
use crate::value::Value;

/// One input, fitted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct FittedInput {
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
    /// What reads its raw values: the very same for files and for requests.
    pub(super) field: Arc<Field>,
    /// The form of the raw column.
    pub(super) incoming: Form,
    /// The steps with the form that each leaves.
    pub(super) steps: Vec<(Fitted, Form)>,
    /// The labels of a category, sorted; empty otherwise.
    pub(super) dictionary: Arc<Dictionary>,
    /// The column names of a vector that was put together from columns.
    pub(super) members: Vec<String>,
    /// A raw value, as a request may give it.
    pub(super) example: Option<Value>,
}

/// How a data set's category codes become the pipeline's.
pub(super) enum Coding {
    /// They are the same.
    Same,
    /// By table; what is past its end is missing or unknown.
    Table(Vec<u32>),
}

impl FittedInput {
    pub(super) fn output(&self) -> &Form {
        self.steps.last().map_or(&self.incoming, |(_, form)| form)
    }

    /// Numbers a row after the steps.
    pub(super) fn width(&self) -> usize {
        self.output().width().expect("fitting and reading check that numbers come out")
    }

    pub(super) fn run(&self, block: &mut Block) {
        for (step, form) in &self.steps {
            step.as_transform().apply(block);
            block.form = Some(form.clone());
        }
    }

    /// A vector put together from columns takes the very same ones in the same order.
    pub(super) fn check_members(&self, column: &Column) -> Result<(), DataError> {
        let (known, given) = (&self.members, &column.members);
        match known.iter().zip(given).find(|(known, given)| known != given) {
            None => Ok(()),
            Some((known, given)) => Err(DataError::spec(
                &*self.name,
                format!("the pipeline was fitted with the column {known:?} where this data has {given:?}"),
            )
            .with_hint("read the data by the pipeline's own columns")),
        }
    }

    /// How this column's category codes become the pipeline's, having checked that the column fits.
    pub(super) fn coding(&self, column: &ColumnData) -> Result<Coding, DataError> {
        match (&self.incoming, column) {
            (Form::Numbers { width: 1 }, ColumnData::Numbers(_))
            | (Form::Datetime, ColumnData::Datetimes(_))
            | (Form::Text, ColumnData::Texts(_)) => Ok(Coding::Same),
            (Form::Numbers { width }, ColumnData::Vectors(vectors)) if vectors.width == *width => {
                Ok(Coding::Same)
            }
            (Form::Bytes { shape }, ColumnData::Images(images)) if images.shape == *shape => Ok(Coding::Same),
            (Form::Category { .. }, ColumnData::Categories(categories)) => {
                if Arc::ptr_eq(&categories.dictionary, &self.dictionary) {
                    return Ok(Coding::Same);
                }
                let code = |label| self.dictionary.meant(label).unwrap_or(UNKNOWN);
                Ok(Coding::Table(categories.dictionary.labels().map(code).collect()))
            }
            (form, column) if form_kind(form, self.kind) == column.kind() => Err(DataError::spec(
                &*self.name,
                format!("the pipeline was fitted on {}, and the data has another size", form.describe()),
            )),
            _ => Err(wrong_column(&self.name)),
        }
    }

    /// Whether a request may leave it out.
    pub(super) fn is_optional(&self) -> bool {
        self.steps.iter().any(|(step, _)| matches!(step, Fitted::Impute(_)))
    }

    /// How many different tokens its texts are cut into.
    pub(super) fn vocabulary_len(&self) -> Option<usize> {
        self.steps.iter().find_map(|(step, _)| match step {
            Fitted::Tokenize(tokens) => Some(tokens.vocabulary_len()),
            _ => None,
        })
    }

    /// Numbers a row as they come in; 1 for what is not a number.
    pub(super) fn incoming_width(&self) -> usize {
        self.incoming.width().unwrap_or(1)
    }

    /// What a request gives; for windows, for this many steps.
    pub(super) fn field_info(&self, steps: Option<usize>) -> FieldInfo {
        let shape = match &self.incoming {
            Form::Bytes { shape } => Some(*shape),
            _ => None,
        };
        FieldInfo {
            name: self.name.to_string(),
            kind: self.kind,
            categories: self.dictionary.labels().map(String::from).collect(),
            width: shape.map_or_else(|| self.incoming_width(), |s| s.iter().product()),
            steps,
            shape,
            optional: self.is_optional(),
            example: self.example.clone(),
        }
    }
}

fn form_kind(form: &Form, kind: Kind) -> &'static str {
    match form {
        Form::Numbers { .. } if matches!(kind, Kind::Vector | Kind::Audio) => "vector",
        Form::Numbers { .. } => "number",
        Form::Category { .. } => "category",
        Form::Datetime => "datetime",
        Form::Bytes { .. } | Form::Image { .. } => "image",
        Form::Text => "text",
    }
}

/// A block whose memory serves one input after the other.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) block: Block,
}

impl Scratch {
    /// Fills the block with the raw values of these rows.
    pub(super) fn gather(
        &mut self,
        input: &FittedInput,
        column: &ColumnData,
        coding: &Coding,
        rows: &[usize],
    ) {
        let block = &mut self.block;
        block.rows = rows.len();
        block.form = Some(input.incoming.clone());
        block.floats.clear();
        block.codes.clear();
        block.bytes.clear();
        block.texts.clear();
        match column {
            ColumnData::Numbers(numbers) => block.floats.extend(rows.iter().map(|&row| numbers.get(row))),
            ColumnData::Datetimes(seconds) => block.floats.extend(rows.iter().map(|&row| seconds[row])),
            ColumnData::Vectors(vectors) => {
                for &row in rows {
                    let values = &vectors.values[row * vectors.width..(row + 1) * vectors.width];
                    block.floats.extend(values.iter().map(|&value| f64::from(value)));
                }
            }
            ColumnData::Images(images) => {
                let size: usize = images.shape.iter().product();
                for &row in rows {
                    block.bytes.extend_from_slice(&images.bytes[row * size..(row + 1) * size]);
                }
            }
            ColumnData::Texts(texts) => rows.iter().for_each(|&row| block.texts.push(texts.get(row))),
            ColumnData::Categories(categories) => {
                let codes = rows.iter().map(|&row| categories.codes[row]);
                match coding {
                    Coding::Same => block.codes.extend(codes),
                    Coding::Table(table) => block.codes.extend(codes.map(|code| {
                        let known = table.get(code as usize).copied();
                        known.unwrap_or(if code == MISSING { MISSING } else { UNKNOWN })
                    })),
                }
            }
        }
    }
}
