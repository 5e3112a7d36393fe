//! What one model wants otherwise than the server's limits say: its engine, sessions, threads and batching.

use std::collections::BTreeMap;
use std::time::Duration;

use modelyard_types::{DataType, Dim, NamedTensor, Signature, TensorSpec};

use crate::config::ServeConfig;
use crate::stateful::SequenceSettings;

/// The wishes for one model; what is absent is left to [`ServeConfig`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelSettings {
    /// The engine by name, such as `onnxruntime`; the best one that runs the model where none is named.
    pub runtime: Option<String>,
    /// Threads that one session may use for one batch.
    pub threads: Option<usize>,
    /// Batches that are computed at once.
    pub sessions_max: Option<usize>,
    /// Most rows that requests are joined to; 1 leaves every request alone.
    pub batch_size_max: Option<usize>,
    /// How long a request waits for others to share its batch.
    pub batch_delay: Option<Duration>,
    /// Rows at which a batch is run without waiting for more, smallest first.
    pub preferred_rows: Option<Vec<usize>>,
    /// Most rows that wait.
    pub queue_rows_max: Option<usize>,
    /// Most rows of one request.
    pub request_rows_max: Option<usize>,
    /// Requests that each new session runs before the model is ready.
    pub warmup: Vec<Vec<NamedTensor>>,
    /// The names of the classes of an output, by the output's name.
    pub labels: BTreeMap<String, Vec<String>>,
    /// What the model's files say that its network takes and gives.
    pub declared: Option<Declared>,
    /// What its network wants of sequences, where it takes requests of sequences only.
    pub sequences: Option<SequenceSettings>,
}

/// Tensors as a configuration declares them, to be held against the network's own signature.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The inputs; empty where none are declared.
    pub inputs: Vec<TensorSpec>,
    /// The outputs; empty where none are declared.
    pub outputs: Vec<TensorSpec>,
}

impl ModelSettings {
    /// These wishes, and those of `below` where there are none here.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            runtime: self.runtime.or(below.runtime),
            threads: self.threads.or(below.threads),
            sessions_max: self.sessions_max.or(below.sessions_max),
            batch_size_max: self.batch_size_max.or(below.batch_size_max),
            batch_delay: self.batch_delay.or(below.batch_delay),
            preferred_rows: self.preferred_rows.or(below.preferred_rows),
            queue_rows_max: self.queue_rows_max.or(below.queue_rows_max),
            request_rows_max: self.request_rows_max.or(below.request_rows_max),
            warmup: if self.warmup.is_empty() { below.warmup } else { self.warmup },
            labels: if self.labels.is_empty() { below.labels } else { self.labels },
            declared: self.declared.or(below.declared),
            sequences: self.sequences.or(below.sequences),
        }
    }

    /// The server's limits with these wishes in them.
    pub(crate) fn limits(&self, server: &ServeConfig) -> ServeConfig {
        let mut limits = ServeConfig { models: BTreeMap::new(), ..server.clone() };
        let set = |target: &mut usize, wish: Option<usize>| *target = wish.unwrap_or(*target);
        set(&mut limits.sessions_max, self.sessions_max);
        set(&mut limits.batch_size_max, self.batch_size_max);
        set(&mut limits.queue_rows_max, self.queue_rows_max);
        set(&mut limits.request_rows_max, self.request_rows_max);
        let idle = self.sequences.as_ref().and_then(|sequences| sequences.idle);
        limits.sequence_idle = idle.unwrap_or(limits.sequence_idle);
        limits.batch_delay = self.batch_delay.unwrap_or(limits.batch_delay);
        if let Some(preferred) = &self.preferred_rows {
            limits.preferred_rows.clone_from(preferred);
        }
        limits
    }
}

impl Declared {
    /// How the network differs from what is declared, in a sentence.
    pub(crate) fn misfit(&self, signature: &Signature) -> Option<String> {
        differ("input", &self.inputs, &signature.inputs)
            .or_else(|| differ("output", &self.outputs, &signature.outputs))
    }
}

fn differ(what: &str, declared: &[TensorSpec], real: &[TensorSpec]) -> Option<String> {
    for spec in declared {
        let Some(own) = real.iter().find(|own| own.name == spec.name) else {
            let names: Vec<&str> = real.iter().map(|own| own.name.as_str()).collect();
            let (name, names) = (&spec.name, names.join(", "));
            return Some(format!("its configuration declares the {what} {name:?}, its network has {names}"));
        };
        if own.data_type != spec.data_type || !fits(&spec.shape, &own.shape) {
            let name = &spec.name;
            let (said, is) = (told(spec.data_type, &spec.shape), told(own.data_type, &own.shape));
            return Some(format!("its configuration declares the {what} {name:?} as {said}, it is {is}"));
        }
    }
    None
}

/// Where one of both leaves a size open, they agree on it. A rank that the network does not tell fits any.
fn fits(declared: &[Dim], own: &[Dim]) -> bool {
    let alike = |(a, b): (&Dim, &Dim)| *a == Dim::Any || *b == Dim::Any || a == b;
    own == [Dim::Any] || declared.len() == own.len() && declared.iter().zip(own).all(alike)
}

fn told(data_type: DataType, shape: &[Dim]) -> String {
    let sizes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("{data_type} [{}]", sizes.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, data_type: DataType, shape: &[Dim]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), data_type, shape: shape.to_vec() }
    }

    #[test]
    fn a_wish_wins_over_those_below_and_over_the_server() {
        let above = ModelSettings { threads: Some(4), ..ModelSettings::default() };
        let below = ModelSettings {
            threads: Some(2),
            sessions_max: Some(3),
            preferred_rows: Some(vec![4, 8]),
            ..ModelSettings::default()
        };
        let both = above.over(below);
        assert_eq!((both.threads, both.sessions_max), (Some(4), Some(3)));
        let limits = both.limits(&ServeConfig::default());
        assert_eq!((limits.sessions_max, limits.preferred_rows), (3, vec![4, 8]));
        assert_eq!(limits.queue_rows_max, ServeConfig::default().queue_rows_max);
    }

    #[test]
    fn a_configuration_that_tells_of_another_network_is_found_out() {
        let own = spec("x", DataType::F32, &[Dim::Any, Dim::Fixed(3)]);
        let signature = Signature { inputs: vec![own.clone()], outputs: Vec::new() };
        let check =
            |spec: TensorSpec| Declared { inputs: vec![spec], outputs: Vec::new() }.misfit(&signature);
        assert_eq!(check(own), None);
        assert_eq!(check(spec("x", DataType::F32, &[Dim::Fixed(1), Dim::Any])), None);
        let wide = check(spec("x", DataType::F32, &[Dim::Any, Dim::Fixed(4)]));
        assert_eq!(
            wide.as_deref(),
            Some("its configuration declares the input \"x\" as FP32 [-1, 4], it is FP32 [-1, 3]")
        );
        let other = check(spec("y", DataType::F32, &[]));
        assert!(other.is_some_and(|what| what.ends_with("its network has x")));
        assert!(check(spec("x", DataType::I64, &[Dim::Any, Dim::Fixed(3)])).is_some());
    }
}
