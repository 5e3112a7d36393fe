//! What is wrong with a graph that can be told without its models: names, numbers, and steps that wait for
//! each other.

use std::collections::{BTreeMap, BTreeSet};

use super::{Combine, CombineStep, Graph, ModelStep, REQUEST, SECURE, Source, Step, SwitchStep, Work};

/// Most tensors that are combined, and most ways of a switch.
const SOURCES_MAX: usize = 64;
/// Most servers of one step.
const SERVERS_MAX: usize = 64;
/// Longest name of a step, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// A name less like any known one than this is not suggested.
const LIKENESS_MIN: f64 = 0.7;

impl Graph {
    /// Most steps of one graph.
    pub const STEPS_MAX: usize = 64;

    /// What is wrong with it, in a sentence.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.outputs.is_empty() {
            return Err("it has no outputs".to_owned());
        }
        if self.steps.is_empty() || self.steps.len() > Self::STEPS_MAX {
            let (steps, most) = (self.steps.len(), Self::STEPS_MAX);
            return Err(format!("it has {steps} steps, it must have from 1 to {most}"));
        }
        let mut names = BTreeSet::new();
        for step in &self.steps {
            check_name(&step.name)?;
            if !names.insert(step.name.as_str()) {
                return Err(format!("two steps are named {:?}", step.name));
            }
        }
        for step in &self.steps {
            let told = |why: String| format!("step {:?}: {why}", step.name);
            step.check().map_err(told)?;
            for source in step.sources() {
                self.check_source(source).map_err(told)?;
            }
        }
        for (name, source) in &self.outputs {
            let told = |why: String| format!("output {name:?}: {why}");
            self.check_source(source).map_err(told)?;
            if source.step == REQUEST {
                return Err(told("it is a tensor of the request, not one that a step gives".to_owned()));
            }
        }
        self.check_sequences()?;
        if let Some(path) = self.cycle() {
            return Err(format!("its steps wait for each other: {}", path.join(" → ")));
        }
        self.check_use()
    }

    /// The steps so that each stands behind those whose tensors it takes.
    pub fn in_order(&self) -> Vec<&Step> {
        let mut ordered = Vec::new();
        let mut seen = BTreeMap::new();
        for step in &self.steps {
            // Cycles were refused when the graph was made.
            let _ = self.visit(step, &mut seen, &mut ordered);
        }
        ordered
    }

    fn check_source(&self, source: &Source) -> Result<(), String> {
        if source.step == REQUEST {
            return match source.tensor {
                Some(_) => Ok(()),
                None => Err(format!("{REQUEST:?} needs a tensor's name behind a dot: \"{REQUEST}.x\"")),
            };
        }
        if self.step(&source.step).is_some() {
            return Ok(());
        }
        let names = self.steps.iter().map(|step| step.name.as_str()).chain([REQUEST]);
        Err(format!("there is no step {:?}{}", source.step, nearest(&source.step, names)))
    }

    /// Steps that wait for each other, from one of them back to it.
    fn cycle(&self) -> Option<Vec<&str>> {
        let mut seen = BTreeMap::new();
        let mut ordered = Vec::new();
        self.steps.iter().find_map(|step| self.visit(step, &mut seen, &mut ordered).err())
    }

    /// Visits a step behind those that it waits for. `seen` holds whether a step was left again.
    fn visit<'g>(
        &'g self,
        step: &'g Step,
        seen: &mut BTreeMap<&'g str, bool>,
        ordered: &mut Vec<&'g Step>,
    ) -> Result<(), Vec<&'g str>> {
        match seen.get(step.name.as_str()) {
            Some(true) => return Ok(()),
            Some(false) => return Err(vec![&step.name]),
            None => drop(seen.insert(&step.name, false)),
        }
        for before in step.sources().into_iter().filter_map(|source| self.step(&source.step)) {
            self.visit(before, seen, ordered).map_err(|mut path| {
                let is_closed = path.len() > 1 && path.first() == path.last();
                if !is_closed {
                    path.insert(0, &step.name);
                }
                path
            })?;
        }
        seen.insert(&step.name, true);
        ordered.push(step);
        Ok(())
    }

    /// Two steps that ask one model of one server would go on with the same sequence there.
    fn check_sequences(&self) -> Result<(), String> {
        let all: Vec<_> = self.model_steps().filter(|(_, model)| model.sequences).collect();
        for (at, (name, model)) in all.iter().enumerate() {
            let is_same = |(_, other): &&(&str, &ModelStep)| {
                other.model == model.model
                    && other.servers.iter().any(|server| model.servers.contains(server))
            };
            if let Some((other, _)) = all[..at].iter().find(is_same) {
                return Err(format!(
                    "steps {other:?} and {name:?} have sequences of one model on one server, which cannot tell them apart"
                ));
            }
        }
        Ok(())
    }

    /// A step that nobody needs would never run.
    fn check_use(&self) -> Result<(), String> {
        let taken = self.steps.iter().flat_map(Step::sources).chain(self.outputs.values());
        let used: BTreeSet<&str> = taken.map(|source| source.step.as_str()).collect();
        match self.steps.iter().find(|step| !used.contains(step.name.as_str())) {
            Some(step) => Err(format!(
                "step {:?} would never run: neither a step nor an output takes from it",
                step.name
            )),
            None => Ok(()),
        }
    }
}

impl Step {
    fn check(&self) -> Result<(), String> {
        match &self.work {
            Work::Model(step) => step.check(),
            Work::Combine(step) => step.check(),
            Work::Switch(step) => step.check(),
        }
    }
}

impl ModelStep {
    fn check(&self) -> Result<(), String> {
        self.name()?;
        self.selector()?;
        if self.inputs.is_empty() {
            return Err("it has no inputs".to_owned());
        }
        if self.scatter_rows == Some(0) {
            return Err("scatter_rows is 0, a part has at least one row".to_owned());
        }
        if self.servers.len() > SERVERS_MAX {
            return Err(format!("it names {} servers, at most {SERVERS_MAX} are taken", self.servers.len()));
        }
        if let Some(server) = self.servers.iter().find(|server| !is_address(server)) {
            return Err(format!(
                "{server:?} is no server; write host:port, such as \"10.0.0.7:8080\", behind {SECURE} for TLS"
            ));
        }
        self.check_tls()?;
        if self.sequences && !self.is_remote() {
            return Err(
                "a model that runs here tells itself whether it takes sequences; leave sequences out"
                    .to_owned(),
            );
        }
        if self.sequences && self.scatter_rows.is_some() {
            return Err("it has sequences and scatter_rows: a sequence is not scattered".to_owned());
        }
        let is_described = !self.takes.is_empty() || !self.gives.is_empty();
        if is_described && !self.is_remote() {
            return Err("takes and gives are known from the store where a model runs here".to_owned());
        }
        Ok(())
    }
}

impl ModelStep {
    fn check_tls(&self) -> Result<(), String> {
        let Some(files) = &self.tls else { return Ok(()) };
        if !self.servers.iter().any(|server| server.starts_with(SECURE)) {
            return Err(format!("it has tls, and no server that begins with {SECURE}"));
        }
        match files.certificate.is_some() == files.key.is_some() {
            true => Ok(()),
            false => Err("tls needs a certificate and its key, or neither".to_owned()),
        }
    }
}

impl CombineStep {
    fn check(&self) -> Result<(), String> {
        if !(2..=SOURCES_MAX).contains(&self.of.len()) {
            return Err(format!("it combines {} tensors, it must be from 2 to {SOURCES_MAX}", self.of.len()));
        }
        if self.combine != Combine::Weighted {
            return match self.weights.is_empty() {
                true => Ok(()),
                false => Err("it has weights; write combine = \"weighted\" for them".to_owned()),
            };
        }
        if self.weights.len() != self.of.len() {
            return Err(format!("it has {} weights for {} tensors", self.weights.len(), self.of.len()));
        }
        if let Some(weight) = self.weights.iter().find(|weight| !weight.is_finite() || **weight < 0.0) {
            return Err(format!("{weight} is no weight; weights are numbers from 0 up"));
        }
        let sum: f64 = self.weights.iter().sum();
        if sum <= 0.0 || !sum.is_finite() {
            return Err(format!("its weights add up to {sum}"));
        }
        Ok(())
    }
}

impl SwitchStep {
    fn check(&self) -> Result<(), String> {
        match self.cases.len() {
            1..=SOURCES_MAX => Ok(()),
            count => Err(format!("it has {count} cases, it must have from 1 to {SOURCES_MAX}")),
        }
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match name {
        "" => Err("a step has no name".to_owned()),
        REQUEST => Err(format!("a step cannot be named {REQUEST:?}, which stands for the request's tensors")),
        _ if name.len() > NAME_BYTES_MAX || !name.bytes().all(is_good) => Err(format!(
            "{name:?} is no name of a step: at most {NAME_BYTES_MAX} ASCII letters, digits, '-' and '_'"
        )),
        _ => Ok(()),
    }
}

fn is_address(text: &str) -> bool {
    let text = text.strip_prefix(SECURE).unwrap_or(text);
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_host =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !host.is_empty() && host.bytes().all(is_host) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// A suggestion for the end of a sentence, where a known name is much like the one given.
pub(super) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
    let likeness = |known: &'n str| (strsim::jaro_winkler(name, known), known);
    let near = known.into_iter().map(likeness).filter(|(likeness, _)| *likeness >= LIKENESS_MIN);
    let best = near.max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| format!("; did you mean {known:?}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn told(steps: Value, outputs: Value) -> String {
        let text = json!({ "format_version": 1, "steps": steps, "outputs": outputs }).to_string();
        match Graph::from_json(text.as_bytes()) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        let model = |name: &str, from: &str| json!({ "name": name, "model": "m", "inputs": { "x": from } });
        let a = model("a", "request.x");
        for (steps, outputs, want) in [
            (json!([a]), json!({ "y": "a.y" }), "fine"),
            (json!([a]), json!({}), "no outputs"),
            (json!([]), json!({ "y": "a" }), "0 steps"),
            (json!([a, a]), json!({ "y": "a" }), "two steps are named \"a\""),
            (json!([model("request", "request.x")]), json!({ "y": "a" }), "stands for the request"),
            (json!([model("a.b", "request.x")]), json!({ "y": "a" }), "\"a.b\" is no name of a step"),
            (json!([model("first", "request.x")]), json!({ "y": "frist.y" }), "did you mean \"first\"?"),
            (json!([model("a", "request")]), json!({ "y": "a" }), "needs a tensor's name"),
            (json!([a]), json!({ "y": "request.x" }), "not one that a step gives"),
            (json!([a, model("b", "a")]), json!({ "y": "a" }), "step \"b\" would never run"),
            (json!([model("a", "a.y")]), json!({ "y": "a" }), "a → a"),
            (
                json!([model("c", "a"), model("b", "c"), model("a", "b"), model("d", "a")]),
                json!({ "y": "d" }),
                "wait for each other: c → a → b → c",
            ),
            (json!([{ "name": "a" }]), json!({ "y": "a" }), "exactly one of the keys model, combine"),
            (
                json!([{ "name": "a", "model": "m", "inputs": { "x": "request.x" }, "of": ["b"] }]),
                json!({ "y": "a" }),
                "a key \"of\", which is of another kind",
            ),
            (json!([{ "name": "a", "model": "m" }]), json!({ "y": "a" }), "it has no inputs"),
            (json!([{ "name": "a", "model": "m", "surprise": 1 }]), json!({ "y": "a" }), "surprise"),
        ] {
            let got = told(steps.clone(), outputs);
            assert!(got.contains(want), "{steps}: {got}");
        }
    }

    #[test]
    fn steps_that_would_share_a_sequence_are_named() {
        let far = |name: &str, model: &str, servers: &[&str], from: &str| {
            let inputs = json!({ "x": from });
            json!({ "name": name, "model": model, "servers": servers, "inputs": inputs, "sequences": true })
        };
        let one = far("one", "m", &["a:1", "b:1"], "request.x");
        let told = |other: Value| told(json!([one, other]), json!({ "y": "two.y" }));
        assert_eq!(told(far("two", "other", &["b:1"], "one.y")), "fine");
        assert_eq!(told(far("two", "m", &["c:1"], "one.y")), "fine");
        let shared = told(far("two", "m", &["b:1"], "one.y"));
        assert!(shared.contains("steps \"one\" and \"two\" have sequences of one model"), "{shared}");
    }

    #[test]
    fn numbers_and_servers_that_make_no_sense_are_named() {
        let a = json!({ "name": "a", "model": "m", "inputs": { "x": "request.x" } });
        for (step, want) in [
            (json!({ "combine": "mean", "of": ["a"] }), "combines 1 tensors"),
            (json!({ "combine": "mean", "of": ["a", "a"], "weights": [1, 2] }), "combine = \"weighted\""),
            (json!({ "combine": "weighted", "of": ["a", "a"], "weights": [1] }), "1 weights for 2"),
            (json!({ "combine": "weighted", "of": ["a", "a"], "weights": [1, -1] }), "-1 is no weight"),
            (json!({ "combine": "weighted", "of": ["a", "a"], "weights": [0, 0] }), "add up to 0"),
            (json!({ "switch": "a", "default": "a" }), "it has 0 cases"),
            (json!({ "switch": "a", "cases": [{ "when": "> 1", "take": "a" }] }), "no default"),
            (
                json!({ "switch": "a", "default": "a", "cases": [{ "when": "big", "take": "a" }] }),
                "is no condition",
            ),
            (json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["there"] }), "write host:port"),
            (json!({ "model": "m", "inputs": { "x": "a" }, "sequences": true }), "leave sequences out"),
            (
                json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["b:1"], "sequences": true, "scatter_rows": 2 }),
                "a sequence is not scattered",
            ),
            (json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["a/b:1"] }), "write host:port"),
            (json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["https://b:1"] }), "write host:port"),
            (
                json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["b:1"], "tls": { "ca": "ca.pem" } }),
                "it has tls, and no server that begins with grpcs://",
            ),
            (
                json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["grpcs://b:1"], "tls": { "key": "k" } }),
                "tls needs a certificate and its key, or neither",
            ),
            (json!({ "combine": "mean", "of": ["a", "a"], "tls": {} }), "which is of another kind of step"),
            (json!({ "model": "m", "inputs": { "x": "a" }, "servers": ["[::1]:80", "grpcs://b:1"] }), "fine"),
            (json!({ "model": "m", "inputs": { "x": "a" }, "scatter_rows": 0 }), "at least one row"),
            (json!({ "model": "m/n", "inputs": { "x": "a" } }), "is not a model name"),
            (json!({ "model": "m", "version": "0", "inputs": { "x": "a" } }), "whole number from 1"),
        ] {
            let mut step = step;
            step["name"] = json!("s");
            let got = told(json!([a, step]), json!({ "y": "s" }));
            assert!(got.contains(want), "{step}: {got}");
        }
    }
}
