//! The reference page of the project file, written from the same schema that checks it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::Value;

use super::schema::schema;
use super::validate::{ObjectSchema, branches, follow, listed, tag, wanted};
use crate::evaluate::TaskKind;
use crate::evaluate::metric::METRICS;

/// The sections in the order in which a project file is read.
const SECTIONS: [&str; 8] =
    ["project", "data", "inputs", "outputs", "network", "training", "gates", "serving"];

const OPENING: &str = "\
# The project file

A project is a folder with a `modelyard.toml`: where the data is, what goes in and comes out, the network, how
it is trained, what it must reach and how it is served. It is [TOML](https://toml.io); paths are relative to the
file. `modelyard check` compares it with the data before anything is trained. Unknown keys, names and values out
of range are errors that show the line and the nearest valid name.

This page is generated from the program, as is the JSON Schema in `schemas/project.schema.json`. Editors that know
TOML schemas complete keys by it when the file's first line is `#:schema path/to/project.schema.json`.
";

/// The page as Markdown, as it stands in `docs/reference/project-file.md`.
pub fn project_reference_markdown() -> String {
    let root = schema();
    let mut page = Page { root, text: OPENING.to_owned(), kinds: Vec::new(), told: BTreeSet::new() };
    for name in SECTIONS {
        page.section(name, &root["properties"][name]);
    }
    let mut next = 0;
    while next < page.kinds.len() {
        let (title, kind) = page.kinds[next].clone();
        page.kind(&title, kind);
        next += 1;
    }
    page.metrics();
    page.text
}

struct Page<'a> {
    root: &'a Value,
    text: String,
    /// Choices between tables that get a chapter of their own: a title and the schema.
    kinds: Vec<(String, &'a Value)>,
    told: BTreeSet<String>,
}

impl<'a> Page<'a> {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn section(&mut self, name: &str, property: &'a Value) {
        let items = property.get("items");
        let heading = if items.is_some() { format!("[[{name}]]") } else { format!("[{name}]") };
        self.line(&format!("\n## `{heading}`\n"));
        self.line(&description(self.root, property));
        self.table(name, items.unwrap_or(property));
    }

    /// The keys of a table, then the tables inside it.
    fn table(&mut self, path: &str, schema: &'a Value) {
        self.keys(path, &ObjectSchema::of(self.root, schema), |_| true);
    }

    /// Those keys of a table that are wanted, then the tables inside it.
    fn keys(&mut self, path: &str, object: &ObjectSchema<'a>, wanted: impl Fn(&str) -> bool) {
        let is_shown = |key: &str, property: &Value| property.get("const").is_none() && wanted(key);
        let keys: Vec<_> =
            object.properties.iter().filter(|(key, property)| is_shown(key, property)).collect();
        if keys.is_empty() {
            return;
        }
        self.line("\n| key | value | default | meaning |\n| --- | --- | --- | --- |");
        let mut inner = Vec::new();
        for (key, property) in keys {
            let required = object.required.contains(key);
            let value = self.value_cell(path, key, property, &mut inner);
            let default = match property.get("default") {
                _ if required => "required".to_owned(),
                Some(Value::Null) | None => String::new(),
                Some(Value::Object(_)) => "see below".to_owned(),
                Some(default) => format!("`{default}`"),
            };
            let meaning = description(self.root, property);
            let cells = [format!("`{key}`"), value, default, meaning].map(|cell| cell.replace('|', "\\|"));
            self.line(&format!("| {} |", cells.join(" | ")));
        }
        for (path, schema) in inner {
            self.line(&format!("\n### `[{path}]`\n"));
            self.line(&description(self.root, schema));
            self.table(&path, schema);
        }
    }

    /// What a key holds, in words; tables go to `inner`, choices between tables to their own chapter.
    fn value_cell(
        &mut self,
        path: &str,
        key: &str,
        property: &'a Value,
        inner: &mut Vec<(String, &'a Value)>,
    ) -> String {
        let plain = branches(self.root, property);
        let list = plain.iter().find_map(|branch| branch.get("items"));
        let all = list.map_or(plain, |items| branches(self.root, items));
        if all.iter().any(|branch| tag(self.root, branch).is_some()) {
            let title = title(key);
            if self.told.insert(title.clone()) {
                self.kinds.push((title.clone(), list.unwrap_or(property)));
            }
            let anchor = title.to_lowercase().replace(' ', "-");
            return match list {
                Some(_) => format!("a list of [{}](#{anchor})", title.to_lowercase()),
                None => format!("one of the [{}](#{anchor})", title.to_lowercase()),
            };
        }
        let table = all.iter().find(|branch| !ObjectSchema::of(self.root, branch).properties.is_empty());
        if let Some(table) = table {
            let path = format!("{path}.{key}");
            let anchor = path.replace('.', "");
            inner.push((path, *table));
            return format!("[a table](#{anchor})");
        }
        let named =
            all.iter().any(|branch| branch.get("description").is_some() && !listed(branch).is_empty());
        if named {
            let each = all.iter().flat_map(|branch| {
                listed(branch).into_iter().map(|name| {
                    match branch.get("description").and_then(Value::as_str) {
                        Some(text) => format!("`\"{name}\"`: {}", one_line(text)),
                        None => format!("`\"{name}\"`"),
                    }
                })
            });
            return each.collect::<Vec<_>>().join("<br>");
        }
        wanted(self.root, property)
    }

    /// A chapter on things of several kinds: layers, transforms, losses, optimizers.
    fn kind(&mut self, title: &str, schema: &'a Value) {
        self.line(&format!("\n## {title}"));
        let tagged =
            branches(self.root, schema).into_iter().filter(|branch| tag(self.root, branch).is_some());
        let objects: Vec<_> = tagged.map(|branch| (branch, ObjectSchema::of(self.root, branch))).collect();
        let in_all = |key: &str| {
            let first = objects[0].1.properties.get(key);
            objects.len() > 1 && objects.iter().all(|(_, object)| object.properties.get(key) == first)
        };
        if let Some((_, first)) = objects.first()
            && first.properties.keys().any(|key| in_all(key))
        {
            self.line("\nEach of them takes these keys, beside its own.");
            self.keys(title, first, in_all);
        }
        for (branch, object) in &objects {
            let Some((key, name)) = tag(self.root, branch) else {
                continue;
            };
            self.line(&format!("\n### `{key} = \"{name}\"`\n"));
            self.line(&description(self.root, branch));
            self.keys(name, object, |key| !in_all(key));
        }
    }

    fn metrics(&mut self) {
        self.line("\n## Metrics\n");
        self.line("For `[[gates]]` and `early_stopping`. Scores come with 95 % intervals.\n");
        self.line("| name | for | better | meaning |\n| --- | --- | --- | --- |");
        for metric in METRICS {
            let tasks = TaskKind::ALL.into_iter().filter(|task| metric.fits(*task));
            let tasks = match tasks.collect::<Vec<_>>().as_slice() {
                [TaskKind::Binary, TaskKind::Multiclass] => "a category",
                [TaskKind::Binary] => "a category of two classes",
                [TaskKind::Multilabel] => "labels",
                [TaskKind::NextToken] => "the next token",
                [only @ (TaskKind::Forecast | TaskKind::Remaining | TaskKind::Anomaly)] => only.as_str(),
                _ => "numbers",
            };
            let better = if metric.higher_is_better() { "higher" } else { "lower" };
            let row = format!("| `{}` | {tasks} | {better} | {} |", metric.name(), metric.summary());
            let _ = writeln!(self.text, "{row}");
        }
    }
}

/// What a chapter about the choices of this key is called.
fn title(key: &str) -> String {
    let plural = match key {
        "loss" => "losses".to_owned(),
        key if key.ends_with('s') => key.to_owned(),
        key => format!("{key}s"),
    };
    let mut letters = plural.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The doc comment, on one line; the one of the type where the key has none.
fn description(root: &Value, schema: &Value) -> String {
    let text = schema.get("description").or_else(|| follow(root, schema).get("description"));
    one_line(text.and_then(Value::as_str).unwrap_or_default())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
