//! What an engine must remember to go on, bit for bit, as if it had never stopped: one safetensors file.

use std::borrow::Cow;
use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, Metadata, TensorView};
use serde::{Deserialize, Serialize};

use crate::{Engine, ModelError, NetworkSpec};

/// The format version that this program writes, and the newest that it reads.
const FORMAT_VERSION: u64 = 2;
/// The key of the counters in the file's metadata.
const NUMBERS: &str = "engine";

impl Engine {
    /// Weights, running statistics, the optimizer's memories, the average, the counters and the learning rate.
    ///
    /// # Errors
    /// Between [`Engine::gather`] and its step: what was gathered has no place in the file.
    pub fn save(&self) -> Result<Vec<u8>, ModelError> {
        if self.learner.is_gathering() {
            let message = "mini-batches wait for their step, save behind it".to_owned();
            return Err(ModelError::EngineState { message });
        }
        let arrays: Vec<(&'static str, Vec<u8>)> = self
            .arrays()
            .into_iter()
            .map(|(name, values)| (name, values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = arrays.iter().map(|(name, bytes)| {
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            (*name, view.expect("the bytes were made for this shape"))
        });
        let numbers = Numbers {
            format_version: FORMAT_VERSION,
            steps: self.learner.steps,
            batches: self.learner.batches,
            learning_rate_bits: self.learner.learning_rate.to_bits(),
            network: Some(Cow::Borrowed(self.network.spec())),
            optimizer: Some(self.learner.optimizer().name().into()),
        };
        // One entry: a map of several would be written in any order.
        let numbers = serde_json::to_string(&numbers).expect("plain numbers");
        let file = safetensors::serialize(views, Some(HashMap::from([(NUMBERS.to_owned(), numbers)])));
        Ok(file.expect("the tensors' sizes are those of arrays in memory"))
    }

    /// Takes over what [`Engine::save`] gave, of an engine with the same network and configuration.
    ///
    /// # Errors
    /// Where the bytes are no engine's state, or that of another network, optimizer or average; the engine is
    /// then as it was.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), ModelError> {
        let unreadable = |source: safetensors::SafeTensorError| wrong(source.to_string());
        let (_, metadata) = SafeTensors::read_metadata(saved).map_err(unreadable)?;
        let tensors = SafeTensors::deserialize(saved).map_err(unreadable)?;
        let numbers = Numbers::read(&metadata)?;
        self.check_same(&numbers)?;
        for (name, values) in self.arrays() {
            let found = tensors.tensor(name).map_err(unreadable)?;
            if found.dtype() != Dtype::F32 || found.data().len() != values.len() * 4 {
                return Err(wrong(format!(
                    "{name} has {} values, this engine has {}",
                    found.data().len() / 4,
                    values.len()
                )));
            }
        }
        for (name, values) in self.arrays_mut() {
            let found = tensors.tensor(name).map_err(unreadable)?;
            for (value, bytes) in values.iter_mut().zip(found.data().chunks_exact(4)) {
                *value = f32::from_le_bytes(bytes.try_into().expect("chunks of four"));
            }
        }
        self.learner.forget();
        self.learner.steps = numbers.steps;
        self.learner.batches = numbers.batches;
        self.learner.learning_rate = f32::from_bits(numbers.learning_rate_bits);
        Ok(())
    }

    /// Refuses the state of another network or optimizer; files of the first format do not say of which they are.
    fn check_same(&self, numbers: &Numbers<'_>) -> Result<(), ModelError> {
        if numbers.network.as_ref().is_some_and(|network| **network != *self.network.spec()) {
            return Err(wrong("it is that of a network with other layers or settings".to_owned()));
        }
        let own = self.learner.optimizer().name();
        match numbers.optimizer.as_deref() {
            Some(optimizer) if optimizer != own => {
                Err(wrong(format!("it is that of the optimizer {optimizer}, this engine has {own}")))
            }
            _ => Ok(()),
        }
    }

    fn arrays(&self) -> Vec<(&'static str, &[f32])> {
        let [first, second] = &self.learner.memories;
        let mut arrays = vec![
            ("parameters", self.network.parameters()),
            ("state", self.network.state()),
            ("memory.0", first),
            ("memory.1", second),
        ];
        if let Some(average) = &self.learner.average {
            arrays.push(("average.parameters", average.parameters()));
            arrays.push(("average.state", average.state()));
        }
        arrays
    }

    fn arrays_mut(&mut self) -> Vec<(&'static str, &mut [f32])> {
        let [first, second] = &mut self.learner.memories;
        let (parameters, state) = self.network.weights_mut();
        let mut arrays =
            vec![("parameters", parameters), ("state", state), ("memory.0", first), ("memory.1", second)];
        if let Some(average) = &mut self.learner.average {
            let (parameters, state) = average.weights_mut();
            arrays.extend([("average.parameters", parameters), ("average.state", state)]);
        }
        arrays
    }
}

/// The counters of an engine, as JSON in the file's metadata.
#[derive(Serialize, Deserialize)]
struct Numbers<'a> {
    format_version: u64,
    steps: u64,
    batches: u64,
    learning_rate_bits: u32,
    /// Whose weights these are; since format version 2.
    network: Option<Cow<'a, NetworkSpec>>,
    /// Whose memories these are; since format version 2.
    optimizer: Option<Cow<'a, str>>,
}

impl Numbers<'_> {
    fn read(metadata: &Metadata) -> Result<Self, ModelError> {
        let text = metadata.metadata().as_ref().and_then(|texts| texts.get(NUMBERS));
        let text = text.ok_or_else(|| wrong("its counters are missing".to_owned()))?;
        let numbers: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        match numbers.format_version {
            0..=FORMAT_VERSION => Ok(numbers),
            newer => Err(wrong(format!(
                "it has format version {newer}, this program reads up to {FORMAT_VERSION}"
            ))),
        }
    }
}

fn wrong(message: String) -> ModelError {
    ModelError::EngineState { message }
}
