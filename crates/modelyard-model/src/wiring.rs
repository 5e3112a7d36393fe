//! Who takes whose values: names in `from` turned into places, before any shape is known.

use std::collections::HashMap;

use crate::{ModelError, NetworkSpec};

/// What a layer can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// An input part; the only one is part 0.
    Input(usize),
    /// What a layer gives.
    Layer(usize),
}

/// The name of the input where it has no parts.
const WHOLE_INPUT: &str = "input";
const NAME_CHARS_MAX: usize = 64;

/// The values that each layer takes.
pub(crate) fn wire(spec: &NetworkSpec) -> Result<Vec<Vec<Value>>, ModelError> {
    let mut names = Names::new(spec)?;
    let mut wires = Vec::with_capacity(spec.layers.len());
    for (index, node) in spec.layers.iter().enumerate() {
        let sources = names.sources(index)?;
        check_count(spec, index, sources.len())?;
        if let Some(name) = &node.name {
            names.add_layer(name, index)?;
        }
        wires.push(sources);
    }
    check_all_used(spec, &wires)?;
    Ok(wires)
}

struct Names<'a> {
    spec: &'a NetworkSpec,
    values: HashMap<&'a str, Value>,
}

impl<'a> Names<'a> {
    fn new(spec: &'a NetworkSpec) -> Result<Self, ModelError> {
        let mut values = HashMap::new();
        if spec.inputs.is_empty() {
            values.insert(WHOLE_INPUT, Value::Input(0));
        }
        for (part, input) in spec.inputs.iter().enumerate() {
            if values.insert(&input.name, Value::Input(part)).is_some() {
                let message = format!("two parts of its input are called '{}'", input.name);
                return Err(ModelError::Spec { message });
            }
        }
        Ok(Self { spec, values })
    }

    fn add_layer(&mut self, name: &'a str, index: usize) -> Result<(), ModelError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > NAME_CHARS_MAX || !name.chars().all(fits) {
            let message = format!(
                "{name:?} must be 1 to {NAME_CHARS_MAX} ASCII letters, digits, '_' and '-': weights are stored \
                 under it"
            );
            return Err(layer_error(self.spec, index, "name", message, None));
        }
        match self.values.insert(name, Value::Layer(index)) {
            None => Ok(()),
            Some(taken) => {
                let owner = self.spec.value_text(taken);
                let message = format!("'{name}' is the name of {owner} already");
                Err(layer_error(self.spec, index, "name", message, Some("names must differ".to_owned())))
            }
        }
    }

    fn sources(&self, index: usize) -> Result<Vec<Value>, ModelError> {
        let from = &self.spec.layers[index].from;
        if !from.is_empty() {
            return from.iter().map(|name| self.find(name, index)).collect();
        }
        match index.checked_sub(1) {
            Some(before) => Ok(vec![Value::Layer(before)]),
            None if self.spec.inputs.len() < 2 => Ok(vec![Value::Input(0)]),
            None => {
                let parts: Vec<&str> = self.spec.inputs.iter().map(|part| part.name.as_str()).collect();
                let message = "is missing, and the network has several input parts".to_owned();
                let hint = format!("name one of {}", parts.join(", "));
                Err(layer_error(self.spec, index, "from", message, Some(hint)))
            }
        }
    }

    fn find(&self, name: &str, index: usize) -> Result<Value, ModelError> {
        if let Some(&value) = self.values.get(name) {
            return Ok(value);
        }
        let mut later = self.spec.layers[index..].iter().zip(index..);
        if let Some((_, at)) = later.find(|(node, _)| node.name.as_deref() == Some(name)) {
            let message = format!("names '{name}', which is layer {at}: a layer takes what stands before it");
            let hint = Some("move the layer up; a network has no cycles".to_owned());
            return Err(layer_error(self.spec, index, "from", message, hint));
        }
        let message = format!("names '{name}', and no input part or earlier layer is called so");
        Err(layer_error(self.spec, index, "from", message, Some(self.nearest(name))))
    }

    /// The known name most like this one, or all of them.
    fn nearest(&self, name: &str) -> String {
        let alike = |known: &&str| strsim::jaro_winkler(name, known);
        let best = self.values.keys().copied().max_by(|a, b| alike(a).total_cmp(&alike(b)).then(b.cmp(a)));
        match best {
            Some(best) if alike(&best) > 0.75 => format!("did you mean '{best}'?"),
            _ => {
                let mut known: Vec<&str> = self.values.keys().copied().collect();
                known.sort_unstable();
                format!("give that layer a name; known are {}", known.join(", "))
            }
        }
    }
}

/// Refuses more or fewer values than the layer joins.
fn check_count(spec: &NetworkSpec, index: usize, count: usize) -> Result<(), ModelError> {
    let joins = spec.layers[index].layer.layer().joins();
    if joins.contains(&count) {
        return Ok(());
    }
    let wanted = match (*joins.start(), *joins.end()) {
        (least, most) if least == most => least.to_string(),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    };
    let hint = if count > *joins.end() {
        "join them first with a concatenate, add or multiply layer"
    } else {
        "name all that it joins: from = [\"…\", \"…\"]"
    };
    let message =
        format!("gives {count} value{}, the layer takes {wanted}", if count == 1 { "" } else { "s" });
    Err(layer_error(spec, index, "from", message, Some(hint.to_owned())))
}

/// Refuses values that lead nowhere: the last layer is the network's answer, everything else must reach it.
fn check_all_used(spec: &NetworkSpec, wires: &[Vec<Value>]) -> Result<(), ModelError> {
    let mut used = vec![false; spec.layers.len()];
    let mut parts_used = vec![false; spec.inputs.len().max(1)];
    for &value in wires.iter().flatten() {
        match value {
            Value::Input(part) => parts_used[part] = true,
            Value::Layer(index) => used[index] = true,
        }
    }
    let before_last = &used[..used.len().saturating_sub(1)];
    if let Some(index) = before_last.iter().position(|&used| !used) {
        let message = "is used by no other layer".to_owned();
        let hint = "only the last layer's output is the network's answer: name this one in a later layer's \
                    `from`, or leave it out";
        return Err(layer_error(spec, index, "output", message, Some(hint.to_owned())));
    }
    match parts_used.iter().position(|&used| !used) {
        None => Ok(()),
        Some(part) => {
            let owner = spec.value_text(Value::Input(part));
            Err(ModelError::Spec { message: format!("{owner} is used by no layer") })
        }
    }
}

fn layer_error(
    spec: &NetworkSpec,
    index: usize,
    field: &'static str,
    message: String,
    hint: Option<String>,
) -> ModelError {
    ModelError::Layer { index, kind: spec.layers[index].layer.kind(), field, message, hint }
}
