//! The form to try a model, made from what its pipeline or its network takes.

use modelyard_serve::{FieldInfo, Kind, ServedVersion, Value};
use modelyard_types::{DataType, Dim, TensorSpec};

use super::{escape, put};

/// More categories than this become a text field with suggestions left out.
const CATEGORIES_MAX: usize = 500;
/// More values than this are not written into the page as an example.
const EXAMPLE_VALUES_MAX: usize = 1024;

/// Writes the form of a version.
pub(super) fn write(html: &mut String, version: &ServedVersion) {
    let model = version.model().as_str();
    put(html, format_args!("<form data-model=\"{model}\">\n"));
    match version.fields() {
        Some(fields) => {
            for (at, field) in fields.iter().enumerate() {
                write_field(html, &format!("{model}-{at}"), field);
            }
        }
        None => write_tensors(html, model, &version.signature().inputs),
    }
    html.push_str(
        "<button type=\"submit\">Predict</button>\n</form>\n<output aria-live=\"polite\"></output>\n",
    );
}

fn write_field(html: &mut String, id: &str, field: &FieldInfo) {
    let name = escape(&field.name);
    put(html, format_args!("<label for=\"{id}\">{name} <small>{}</small></label>\n", describe(field)));
    let required = if field.optional { "" } else { " required" };
    let common = format!("id=\"{id}\" data-name=\"{name}\"{required}");
    let example = escape(&field.example.as_ref().map(example).unwrap_or_default());
    if field.steps.is_some() {
        return write_area(html, &format!("{common} data-kind=\"json\""), &example);
    }
    match field.kind {
        Kind::Number => put(
            html,
            format_args!(
                "<input {common} data-kind=\"number\" type=\"number\" step=\"any\" value=\"{example}\">\n"
            ),
        ),
        Kind::Category if (1..=CATEGORIES_MAX).contains(&field.categories.len()) => {
            put(html, format_args!("<select {common} data-kind=\"text\">\n"));
            if field.optional {
                html.push_str("<option value=\"\"></option>\n");
            }
            for label in &field.categories {
                let label = escape(label);
                let chosen = if label == example { " selected" } else { "" };
                put(html, format_args!("<option value=\"{label}\"{chosen}>{label}</option>\n"));
            }
            html.push_str("</select>\n");
        }
        Kind::Category | Kind::Datetime => {
            put(
                html,
                format_args!("<input {common} data-kind=\"text\" type=\"text\" value=\"{example}\">\n"),
            );
        }
        Kind::Text => write_area(html, &format!("{common} data-kind=\"text\""), &example),
        Kind::Vector => write_area(html, &format!("{common} data-kind=\"json\""), &example),
        Kind::Image | Kind::Audio => {
            let accepted = if field.kind == Kind::Image { "image/*" } else { "audio/wav" };
            put(
                html,
                format_args!("<input {common} data-kind=\"file\" type=\"file\" accept=\"{accepted}\">\n"),
            );
        }
    }
}

fn describe(field: &FieldInfo) -> String {
    let what = match (field.kind, field.shape) {
        (Kind::Number, _) => "a number".to_owned(),
        (Kind::Category, _) => "a category".to_owned(),
        (Kind::Datetime, _) => "a date and time".to_owned(),
        (Kind::Text, _) => "a text".to_owned(),
        (Kind::Audio, _) => "a sound, a WAV file".to_owned(),
        (Kind::Vector, _) => format!("{} numbers as a JSON array", field.width),
        (Kind::Image, Some([height, width, _])) => format!("an image, {width} × {height} pixels"),
        (Kind::Image, None) => "an image".to_owned(),
    };
    let what = match field.steps {
        Some(steps) => format!("{steps} values as a JSON array, one for each step: {what}"),
        None => what,
    };
    if field.optional { format!("{what}, may be left out") } else { what }
}

fn example(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Vector(values) if values.len() <= EXAMPLE_VALUES_MAX => {
            serde_json::to_string(values).unwrap_or_default()
        }
        Value::List(items) if items.len() <= EXAMPLE_VALUES_MAX => value.to_json().to_string(),
        _ => String::new(),
    }
}

fn write_area(html: &mut String, attributes: &str, text: &str) {
    put(html, format_args!("<textarea {attributes} rows=\"5\" spellcheck=\"false\">{text}</textarea>\n"));
}

fn write_tensors(html: &mut String, model: &str, inputs: &[TensorSpec]) {
    for (at, spec) in inputs.iter().enumerate() {
        let (id, name) = (format!("{model}-{at}"), escape(&spec.name));
        let sizes: Vec<String> = spec.shape.iter().skip(1).map(ToString::to_string).collect();
        let shape = format!("{} [{}] as a JSON array", spec.data_type, sizes.join(", "));
        put(html, format_args!("<label for=\"{id}\">{name} <small>one row, {shape}</small></label>\n"));
        let attributes = format!("id=\"{id}\" data-name=\"{name}\" data-kind=\"json\" required");
        write_area(html, &attributes, &escape(&zeros(spec)));
    }
}

/// One row of zeros, nested as the shape; empty where it would be long.
fn zeros(spec: &TensorSpec) -> String {
    let sizes: Vec<usize> = spec
        .shape
        .iter()
        .skip(1)
        .map(|dim| match dim {
            Dim::Fixed(size) => *size,
            Dim::Any => 1,
        })
        .collect();
    let count = sizes.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    if count.is_none_or(|count| count > EXAMPLE_VALUES_MAX) {
        return String::new();
    }
    let zero = match spec.data_type {
        DataType::Bool => "false",
        DataType::Bytes => "\"\"",
        _ => "0",
    };
    let nest = |inner: String, &size: &usize| format!("[{}]", vec![inner; size].join(", "));
    sizes.iter().rev().fold(zero.to_owned(), nest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_zeros_has_the_shape_of_a_row() {
        let spec =
            |data_type, shape: &[Dim]| TensorSpec { name: "x".to_owned(), data_type, shape: shape.to_vec() };
        let (any, two) = (Dim::Any, Dim::Fixed(2));
        assert_eq!(zeros(&spec(DataType::F32, &[any, two, two])), "[[0, 0], [0, 0]]");
        assert_eq!(zeros(&spec(DataType::Bool, &[any])), "false");
        assert_eq!(zeros(&spec(DataType::F32, &[any, Dim::Fixed(1 << 40)])), "");
    }
}
