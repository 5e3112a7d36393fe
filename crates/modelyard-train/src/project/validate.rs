//! The project file against its own JSON Schema. The schema is generated from the Rust types that the file is
//! then read into, so one declaration gives the check, the messages, the reference page and editor completion;
//! serde alone would lose the line of an error inside a tagged table (a layer, a transform).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::diagnostic::{Problem, nearest};
use super::tree::child;

/// Which part of an entry a complaint points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Its key.
    Key,
    /// Its value.
    Value,
}

/// A complaint about the entry at `path`.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) target: Target,
    pub(crate) problem: Problem,
}

/// Everything in `value` that the schema does not allow.
pub(crate) fn validate(schema: &Value, value: &Value) -> Vec<Finding> {
    let mut check = Check { root: schema, findings: Vec::new() };
    check.value(schema, value, "");
    check.findings
}

/// A table's schema with references, `allOf` and the tag of an enum merged into one.
#[derive(Default)]
pub(crate) struct ObjectSchema<'a> {
    pub(crate) properties: BTreeMap<&'a str, &'a Value>,
    pub(crate) required: Vec<&'a str>,
    /// What unlisted keys hold; none where they are forbidden.
    pub(crate) others: Option<&'a Value>,
    closed: bool,
}

/// Follows `$ref` inside the schema's own `$defs`.
pub(crate) fn follow<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| reference.strip_prefix("#/$defs/"))
        .and_then(|name| root.get("$defs")?.get(name))
        .unwrap_or(schema)
}

impl<'a> ObjectSchema<'a> {
    pub(crate) fn of(root: &'a Value, schema: &'a Value) -> Self {
        let mut merged = Self::default();
        merged.merge(root, schema);
        merged
    }

    fn merge(&mut self, root: &'a Value, schema: &'a Value) {
        let target = follow(root, schema);
        if !std::ptr::eq(target, schema) {
            self.merge(root, target);
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.merge(root, part);
        }
        for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.properties.insert(name, property);
        }
        self.required.extend(strings(schema.get("required")));
        for key in ["additionalProperties", "unevaluatedProperties"] {
            match schema.get(key) {
                Some(Value::Bool(false)) => self.closed = true,
                Some(others @ Value::Object(_)) => self.others = Some(others),
                _ => {}
            }
        }
    }
}

fn strings(list: Option<&Value>) -> impl Iterator<Item = &str> {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// The branches of a choice (`oneOf`, `anyOf`), references followed and nested choices flattened.
pub(crate) fn branches<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let schema = if schema.get("properties").is_some() { schema } else { follow(root, schema) };
    let choice = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array);
    match choice {
        Some(parts) => parts.iter().flat_map(|part| branches(root, part)).collect(),
        None => vec![schema],
    }
}

/// The property by which tables of several kinds are told apart, and its value in this branch.
pub(crate) fn tag<'a>(root: &'a Value, branch: &'a Value) -> Option<(&'a str, &'a str)> {
    ObjectSchema::of(root, branch)
        .properties
        .iter()
        .find_map(|(name, property)| Some((*name, property.get("const")?.as_str()?)))
}

/// The strings that a branch allows, where it lists them.
pub(crate) fn listed(branch: &Value) -> Vec<&str> {
    match branch.get("const").and_then(Value::as_str) {
        Some(only) => vec![only],
        None => strings(branch.get("enum")).collect(),
    }
}

/// The JSON types that a branch allows.
fn types<'a>(root: &'a Value, branch: &'a Value) -> Vec<&'a str> {
    let target = follow(root, branch);
    match target.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(list @ Value::Array(_)) => strings(Some(list)).collect(),
        _ if target.get("properties").is_some() || branch.get("properties").is_some() => vec!["object"],
        _ if !listed(target).is_empty() => vec!["string"],
        _ => Vec::new(),
    }
}

fn allows(root: &Value, branch: &Value, value: &Value) -> bool {
    let types = types(root, branch);
    types.is_empty()
        || types.into_iter().any(|name| match name {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            _ => value.is_null(),
        })
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(number) if number.is_f64() => "a number",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a table",
    }
}

/// What a schema wants, in words.
pub(crate) fn wanted(root: &Value, schema: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    for branch in branches(root, schema) {
        let names = listed(branch);
        if !names.is_empty() {
            parts.extend(names.iter().map(|name| format!("\"{name}\"")));
        } else if let Some((key, value)) = tag(root, branch) {
            parts.push(format!("{{ {key} = \"{value}\" }}"));
        } else {
            for name in types(root, branch) {
                parts.push(match name {
                    "object" => "a table".to_owned(),
                    "array" => match follow(root, branch).get("items") {
                        Some(items) => format!("a list of ({})", wanted(root, items)),
                        None => "a list".to_owned(),
                    },
                    "string" => "a text".to_owned(),
                    "boolean" => "true or false".to_owned(),
                    "integer" => format!("a whole number{}", range(branch)),
                    "number" => format!("a number{}", range(branch)),
                    _ => continue,
                });
            }
        }
    }
    parts.dedup();
    parts.join(", ")
}

fn range(schema: &Value) -> String {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let mut text = String::new();
    if let Some(min) = bound("minimum").filter(|min| *min != 0.0 || schema.get("format").is_none()) {
        text += &format!(", at least {min}");
    }
    if let Some(above) = bound("exclusiveMinimum") {
        text += &format!(", above {above}");
    }
    // The largest number that an integer type holds is not worth telling.
    if let Some(max) = bound("maximum").filter(|max| *max < 4e9) {
        text += &format!(", at most {max}");
    }
    if let Some(below) = bound("exclusiveMaximum") {
        text += &format!(", below {below}");
    }
    text
}

struct Check<'a> {
    root: &'a Value,
    findings: Vec<Finding>,
}

impl<'a> Check<'a> {
    fn add(&mut self, path: &str, target: Target, problem: Problem) {
        self.findings.push(Finding { path: path.to_owned(), target, problem });
    }

    fn value(&mut self, schema: &'a Value, value: &Value, path: &str) {
        let branches = branches(self.root, schema);
        let fitting: Vec<&Value> =
            branches.iter().copied().filter(|branch| allows(self.root, branch, value)).collect();
        if fitting.is_empty() {
            let problem = Problem::new(format!("`{}` cannot be {}", name_of(path), type_name(value)))
                .expected(wanted(self.root, schema));
            return self.add(path, Target::Value, problem);
        }
        match value {
            Value::String(text) => self.text(&branches, &fitting, text, path),
            Value::Object(map) => self.choose(&fitting, map, path),
            Value::Array(items) => self.list(fitting[0], items, path),
            Value::Number(number) => self.number(fitting[0], number.as_f64().unwrap_or(0.0), path),
            Value::Bool(_) | Value::Null => {}
        }
    }

    fn text(&mut self, branches: &[&Value], fitting: &[&Value], text: &str, path: &str) {
        let names: Vec<&str> = fitting.iter().flat_map(|branch| listed(branch)).collect();
        if names.contains(&text) {
            return;
        }
        if let Some(free) = fitting.iter().find(|branch| listed(branch).is_empty()) {
            return self.length(free, text, path);
        }
        let mut problem = Problem::new(format!("`{}` knows no {text:?}", name_of(path)))
            .expected(names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", "))
            .nearest(text, names.iter().copied());
        if problem.hint.is_none() && branches.len() > fitting.len() {
            problem = problem.hint("or write a table with its settings");
        }
        self.add(path, Target::Value, problem);
    }

    fn length(&mut self, schema: &Value, text: &str, path: &str) {
        let bound = |key: &str| schema.get(key).and_then(Value::as_u64);
        let length = text.chars().count() as u64;
        let (min, max) = (bound("minLength").unwrap_or(0), bound("maxLength").unwrap_or(u64::MAX));
        if length < min || length > max {
            let wanted = if min == max { format!("exactly {min}") } else { format!("{min} to {max}") };
            let problem =
                Problem::new(format!("`{}` has {length} characters", name_of(path))).expected(wanted);
            self.add(path, Target::Value, problem);
        }
    }

    fn choose(&mut self, fitting: &[&'a Value], map: &Map<String, Value>, path: &str) {
        let tagged: Vec<(&'a Value, &'a str, &'a str)> = fitting
            .iter()
            .filter_map(|branch| tag(self.root, branch).map(|(key, value)| (*branch, key, value)))
            .collect();
        let Some((_, key, _)) = tagged.first().copied() else {
            return self.table(fitting[0], map, path);
        };
        let known: Vec<&str> = tagged.iter().map(|(_, _, value)| *value).collect();
        let list = known.join(", ");
        match map.get(key) {
            Some(Value::String(kind)) => match tagged.iter().find(|(_, _, value)| value == kind) {
                Some((branch, ..)) => self.table(branch, map, path),
                None => {
                    let problem = Problem::new(format!("there is no {} {kind:?}", noun(path, key)))
                        .expected(list)
                        .nearest(kind, known.iter().copied());
                    self.add(&child(path, key), Target::Value, problem);
                }
            },
            Some(other) => {
                let problem = Problem::new(format!("`{key}` cannot be {}", type_name(other))).expected(list);
                self.add(&child(path, key), Target::Value, problem);
            }
            None => {
                let problem = Problem::new(format!("`{key}` is missing in {}", describe(path)))
                    .expected(format!("`{key}` = one of {list}"));
                self.add(path, Target::Key, problem);
            }
        }
    }

    fn table(&mut self, schema: &'a Value, map: &Map<String, Value>, path: &str) {
        let object = ObjectSchema::of(self.root, schema);
        for (key, value) in map {
            let path_of_key = child(path, key);
            match (object.properties.get(key.as_str()), object.others) {
                (Some(property), _) if property.get("const").is_some() => {}
                (Some(property), _) => self.value(property, value, &path_of_key),
                (None, Some(others)) => self.value(others, value, &path_of_key),
                (None, None) if object.closed => self.unknown_key(&object, key, path),
                (None, None) => {}
            }
        }
        for name in &object.required {
            if !map.contains_key(*name) {
                let expected = object.properties.get(name).map(|property| wanted(self.root, property));
                let mut problem = Problem::new(format!("`{name}` is missing in {}", describe(path)));
                problem.expected =
                    expected.filter(|text| !text.is_empty()).map(|text| format!("{name} = {text}"));
                self.add(path, Target::Key, problem);
            }
        }
    }

    fn unknown_key(&mut self, object: &ObjectSchema<'_>, key: &str, path: &str) {
        let names = object.properties.keys().copied();
        let known = object.properties.keys().copied().collect::<Vec<_>>().join(", ");
        let mut problem = Problem::new(format!("unknown key `{key}` in {}", describe(path)))
            .expected(format!("one of {known}"));
        if let Some(name) = nearest(key, names) {
            problem = problem.hint(format!("did you mean `{name}`?"));
        }
        self.add(&child(path, key), Target::Key, problem);
    }

    fn list(&mut self, schema: &'a Value, items: &[Value], path: &str) {
        let schema = follow(self.root, schema);
        let count = |key: &str| schema.get(key).and_then(Value::as_u64).map(|n| n as usize);
        if count("minItems").is_some_and(|min| items.len() < min)
            || count("maxItems").is_some_and(|max| items.len() > max)
        {
            let bounds = match (count("minItems"), count("maxItems")) {
                (Some(min), Some(max)) if min == max => format!("exactly {min}"),
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (min, max) => min.map_or_else(
                    || format!("at most {}", max.unwrap_or_default()),
                    |min| format!("at least {min}"),
                ),
            };
            let problem = Problem::new(format!("`{}` has {} entries", name_of(path), items.len()))
                .expected(format!("{bounds} entries"));
            self.add(path, Target::Value, problem);
        }
        if let Some(item_schema) = schema.get("items").filter(|items| items.is_object()) {
            for (i, item) in items.iter().enumerate() {
                self.value(item_schema, item, &format!("{path}[{i}]"));
            }
        }
    }

    fn number(&mut self, schema: &Value, number: f64, path: &str) {
        let schema = follow(self.root, schema);
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let outside = bound("minimum").is_some_and(|min| number < min)
            || bound("maximum").is_some_and(|max| number > max)
            || bound("exclusiveMinimum").is_some_and(|min| number <= min)
            || bound("exclusiveMaximum").is_some_and(|max| number >= max);
        if outside {
            let mut wanted = wanted(self.root, schema);
            if schema.get("format").is_some() && bound("minimum") == Some(0.0) && number < 0.0 {
                wanted = format!("{wanted}, at least 0");
            }
            let problem =
                Problem::new(format!("`{}` = {number} is out of range", name_of(path))).expected(wanted);
            self.add(path, Target::Value, problem);
        }
    }
}

/// The last name in a path.
fn name_of(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

/// A path as the user wrote it: `[training]`, `[[inputs]]` number 2, `network.layers` number 1.
pub(crate) fn describe(path: &str) -> String {
    match path.rsplit_once('[') {
        None if path.is_empty() => "the project file".to_owned(),
        Some((list, rest)) if rest.ends_with(']') => {
            let number = rest.trim_end_matches(']').parse::<usize>().map_or(0, |i| i + 1);
            format!(
                "{} number {number}",
                if list.contains('.') { list.to_owned() } else { format!("[[{list}]]") }
            )
        }
        _ => format!("[{path}]"),
    }
}

/// What a tagged table is called: the layer, the transform, the optimizer.
fn noun(path: &str, key: &str) -> String {
    let list = path.split_once('[').map_or(path, |_| &path[..path.rfind('[').unwrap_or(path.len())]);
    match name_of(list) {
        "layers" => "layer".to_owned(),
        "transforms" => "transform".to_owned(),
        other if !path.ends_with(']') => other.to_owned(),
        other => format!("{key} for {other}"),
    }
}
