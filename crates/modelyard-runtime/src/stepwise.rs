//! Networks trained here that are fed series in pieces: what is remembered of a series goes in and comes out as one
//! more tensor, so that pieces of different series are joined like any other requests.

use std::sync::Arc;

use modelyard_model::{ModelError, Network, Stepwise};
use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor, TensorSpec};

use crate::native::{INPUT, NAME, OUTPUT};
use crate::runtime::order_inputs;
use crate::{LoadedModel, PAST, RuntimeError, Session};

/// A network in the form that takes pieces.
pub(crate) struct StepwiseModel {
    network: Arc<Network>,
    signature: Signature,
}

struct StepwiseSession {
    stepwise: Stepwise,
    signature: Signature,
}

impl StepwiseModel {
    /// # Errors
    /// [`RuntimeError::Stepwise`] where the network needs the whole of a series.
    pub(crate) fn new(network: &Arc<Network>) -> Result<Self, RuntimeError> {
        let signature = signature(&stepwise(network)?);
        Ok(Self { network: Arc::clone(network), signature })
    }
}

fn stepwise(network: &Arc<Network>) -> Result<Stepwise, RuntimeError> {
    Stepwise::new(network).map_err(|error| {
        let hint = error.hint();
        let reason = match error {
            ModelError::Stepwise { message } => message,
            other => other.to_string(),
        };
        RuntimeError::Stepwise { reason, hint }
    })
}

/// Rows and steps are free; the past is a row's.
fn signature(stepwise: &Stepwise) -> Signature {
    let spec = |name: &str, steps: bool, shape: &[usize]| TensorSpec {
        name: name.to_owned(),
        data_type: DataType::F32,
        shape: std::iter::repeat_n(Dim::Any, 1 + usize::from(steps))
            .chain(shape.iter().map(|&size| Dim::Fixed(size)))
            .collect(),
    };
    let past = spec(PAST, false, &[stepwise.past_len()]);
    Signature {
        inputs: vec![spec(INPUT, true, stepwise.step_shape()), past.clone()],
        outputs: vec![spec(OUTPUT, stepwise.gives_steps(), stepwise.output_shape()), past],
    }
}

impl LoadedModel for StepwiseModel {
    fn runtime(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn session(&self) -> Result<Box<dyn Session>, RuntimeError> {
        let stepwise = stepwise(&self.network)?;
        Ok(Box::new(StepwiseSession { stepwise, signature: self.signature.clone() }))
    }
}

impl Session for StepwiseSession {
    fn run(&mut self, inputs: &[NamedTensor]) -> Result<Vec<NamedTensor>, RuntimeError> {
        let ordered = order_inputs(NAME, &self.signature, inputs)?;
        let (piece, past) = (ordered[0], ordered[1]);
        let (rows, steps) = (piece.shape()[0], piece.shape()[1]);
        let values =
            |tensor: &Tensor| tensor.as_f32().expect("the signature was checked: it is f32").to_vec();
        let (mut remembered, mut outputs) = (values(past), Vec::new());
        let ran = self.stepwise.run(&values(piece), (rows, steps), &mut remembered, &mut outputs);
        ran.map_err(RuntimeError::network)?;
        let steps = self.stepwise.gives_steps().then_some(steps);
        let shape = [rows].into_iter().chain(steps).chain(self.stepwise.output_shape().iter().copied());
        let answer = Tensor::new(shape.collect(), outputs.into()).expect("the engine gives rows × outputs");
        let past = Tensor::new(past.shape().to_vec(), remembered.into()).expect("it is as long as it was");
        let named = |name: &str, tensor| NamedTensor { name: name.to_owned(), tensor };
        Ok(vec![named(OUTPUT, answer), named(PAST, past)])
    }
}

#[cfg(test)]
mod tests {
    use modelyard_model::{Flatten, Gru, LayerSpec, NetworkSpec};

    use super::*;
    use crate::{LoadOptions, ModelFiles, Native, Runtime};

    fn load(layers: Vec<LayerSpec>) -> Arc<dyn LoadedModel> {
        let network = Network::init(NetworkSpec::new(vec![4, 2], layers), 1).expect("a network");
        let (json, weights) = (network.network_json(), network.weights_safetensors());
        let files =
            ModelFiles { onnx: None, network: Some(json.as_bytes()), weights: Some(weights.as_slice()) };
        Native.load(&files, &LoadOptions::default()).expect("it loads")
    }

    #[test]
    fn what_is_remembered_goes_in_and_comes_out() {
        let model = load(vec![LayerSpec::Gru(Gru::new(3))]);
        let stepwise = model.stepwise().expect("a recurrent network");
        let len = match stepwise.signature().inputs[1].shape[1] {
            Dim::Fixed(len) => len,
            Dim::Any => panic!("the past has a length"),
        };
        let tensor = |name: &str, shape: &[usize], value: f32| {
            let values = vec![value; shape.iter().product()];
            let tensor = Tensor::new(shape.to_vec(), values.into()).expect("it fits");
            NamedTensor { name: name.to_owned(), tensor }
        };
        let mut session = stepwise.session().expect("a session");
        let first = session.run(&[tensor(INPUT, &[1, 3, 2], 0.5), tensor(PAST, &[1, len], 0.0)]);
        let first = first.expect("it fits");
        let second = session.run(&[tensor(INPUT, &[1, 1, 2], 0.5), first[1].clone()]).expect("it fits");
        let mut whole = model.session().expect("a session");
        let whole = whole.run(&[tensor(INPUT, &[1, 4, 2], 0.5)]).expect("it fits");
        let pairs = whole[0]
            .tensor
            .as_f32()
            .into_iter()
            .flatten()
            .zip(second[0].tensor.as_f32().into_iter().flatten());
        assert!(pairs.clone().count() == 3 && pairs.clone().all(|(a, b)| (a - b).abs() < 1e-6), "{second:?}");
    }

    #[test]
    fn who_cannot_says_why() {
        let flat = load(vec![LayerSpec::Flatten(Flatten::default())]);
        let error = flat.stepwise().err().expect("no recurrent network");
        assert!(error.to_string().contains("layer 0 (flatten) needs the whole series"), "{error}");
        assert!(error.hint().is_some());
    }
}
