//! TOML text as a plain tree of values that remembers where each key and value stood, so that an error found
//! much later (a shape that doesn't fit, a column that isn't there) can still point at its line.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Problem;

/// The largest project file that is read, in bytes.
pub(crate) const FILE_BYTES_MAX: usize = 1 << 20;

/// How deep tables and lists may nest; the deepest valid key is at 6.
const DEPTH_MAX: usize = 16;

/// At most this many syntax errors are told at once.
const SYNTAX_ERRORS_MAX: usize = 5;

/// Where something stood, in bytes of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The key, or the value itself for an item of a list.
    pub(crate) key: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

/// The values and their places; paths are written `training.optimizer` and `inputs[0].kind`.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    pub(crate) value: Value,
    pub(crate) places: BTreeMap<String, Place>,
}

impl Tree {
    /// Reads TOML text.
    ///
    /// # Errors
    /// Every syntax error that the parser found, each with its place in the text.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<(Range<usize>, Problem)>> {
        if text.len() > FILE_BYTES_MAX {
            let problem = Problem::new(format!("the file has {} bytes", text.len()))
                .expected(format!("at most {FILE_BYTES_MAX} bytes"))
                .hint("is this a project file? Data belongs in files of its own, named in [data]");
            return Err(vec![(0..0, problem)]);
        }
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let told = errors.iter().take(SYNTAX_ERRORS_MAX);
            return Err(told.map(|error| (error.span().unwrap_or(0..0), syntax(error))).collect());
        }
        let mut builder = Builder { places: BTreeMap::new(), problems: Vec::new() };
        let value = builder.table(table.get_ref(), "", 0);
        if builder.problems.is_empty() {
            Ok(Self { value, places: builder.places })
        } else {
            builder.problems.truncate(SYNTAX_ERRORS_MAX);
            Err(builder.problems)
        }
    }

    /// The place of a path, or of the nearest thing around it that was written.
    pub(crate) fn place(&self, path: &str) -> Place {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return place.clone();
            }
            match path.rfind(['.', '[']) {
                Some(end) => path = &path[..end],
                None => return Place { key: 0..0, value: 0..0 },
            }
        }
    }
}

fn syntax(error: &toml::de::Error) -> Problem {
    Problem::new(error.message().to_owned()).hint("this is not valid TOML: see https://toml.io")
}

/// The path of a key inside the table at `parent`.
pub(crate) fn child(parent: &str, key: &str) -> String {
    if parent.is_empty() { key.to_owned() } else { format!("{parent}.{key}") }
}

struct Builder {
    places: BTreeMap<String, Place>,
    problems: Vec<(Range<usize>, Problem)>,
}

impl Builder {
    fn table(&mut self, table: &DeTable<'_>, path: &str, depth: usize) -> Value {
        let mut map = Map::new();
        for (key, value) in table {
            let path = child(path, key.get_ref());
            self.places.insert(path.clone(), Place { key: key.span(), value: value.span() });
            let value = self.value(value, &path, depth + 1);
            map.insert(key.get_ref().to_string(), value);
        }
        Value::Object(map)
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, path: &str, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            let problem = Problem::new(format!("nested more than {DEPTH_MAX} deep"));
            self.problems.push((value.span(), problem));
            return Value::Null;
        }
        match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(flag) => Value::Bool(*flag),
            DeValue::Datetime(at) => Value::String(at.to_string()),
            DeValue::Integer(integer) => {
                match i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()) {
                    Ok(integer) => Value::Number(integer.into()),
                    Err(_) => self.refuse(value, "this integer does not fit into 64 bits"),
                }
            }
            DeValue::Float(float) => {
                let parsed: Option<f64> = float.as_str().replace('_', "").parse().ok();
                match parsed.and_then(Number::from_f64) {
                    Some(number) => Value::Number(number),
                    None => self.refuse(value, "a finite number is wanted here"),
                }
            }
            DeValue::Array(items) => {
                let mut list = Vec::with_capacity(items.len());
                for (i, item) in items.iter().enumerate() {
                    let path = format!("{path}[{i}]");
                    self.places.insert(path.clone(), Place { key: item.span(), value: item.span() });
                    list.push(self.value(item, &path, depth + 1));
                }
                Value::Array(list)
            }
            DeValue::Table(table) => self.table(table, path, depth),
        }
    }

    fn refuse(&mut self, value: &Spanned<DeValue<'_>>, message: &str) -> Value {
        self.problems.push((value.span(), Problem::new(message)));
        Value::Null
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let text = "[a]\nb = [1, {c = 2.5}]\n[[d]]\ne = true\n";
        let tree = Tree::parse(text).expect("valid");
        assert_eq!(tree.value, serde_json::json!({"a": {"b": [1, {"c": 2.5}]}, "d": [{"e": true}]}));
        assert_eq!(&text[tree.place("a.b[1].c").value], "2.5");
        assert_eq!(&text[tree.place("d[0].e").key], "e");
        assert_eq!(&text[tree.place("a.b[1].missing").value], "{c = 2.5}");
        assert_eq!(tree.place("nothing").key, 0..0);
    }

    #[test]
    fn several_syntax_errors_are_told_at_once() {
        let errors = Tree::parse("a = \nb = 1\nc = = 2\n").expect_err("broken");
        assert!(errors.len() >= 2, "{errors:?}");
    }

    #[test]
    fn hostile_text_is_refused_and_never_panics() {
        let deep_list = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep_key = format!("{} = 1", vec!["a"; 100_000].join("."));
        let deep_both = format!("{}1{}", "a.a.a.a.a.a.a.a.a.a = {".repeat(70), "}".repeat(70));
        let header = format!("[{}]", vec!["a"; 50_000].join("."));
        let large = "#".repeat(FILE_BYTES_MAX + 1);
        for text in
            [&*deep_list, &*deep_key, &*deep_both, &*header, &*large, "a = 99999999999999999999", "a = nan"]
        {
            assert!(Tree::parse(text).is_err(), "{:.40}", text);
        }
    }
}
