//! A network whose configuration tells how it takes part in sequences: what it is told of them beside a client's
//! inputs, and what comes back to it from one request to the next.

use modelyard_types::{DataType, Dim, NamedTensor, Signature, Tensor, TensorData, TensorSpec};

use crate::made_up;
use crate::sequence::SequenceStep;
use crate::settings::Declared;
use crate::stateful::{Control, KeptState, SequenceSettings, Tells};

/// The network's tensors, by who fills them and who gets them.
pub(super) struct Stateful {
    /// What a client sends and gets.
    pub(super) signature: Signature,
    /// Whether a request has one row.
    pub(super) has_rows: bool,
    /// With the sizes of their tensors.
    controls: Vec<(Control, Vec<usize>)>,
    states: Vec<KeptState>,
}

impl Stateful {
    /// Holds the settings against the network. States that are `declared` as outputs, too, are given to clients.
    ///
    /// # Errors
    /// How they differ, in a sentence.
    pub(super) fn fit(
        settings: &SequenceSettings,
        declared: Option<&Declared>,
        network: &Signature,
    ) -> Result<Self, String> {
        let SequenceSettings { has_rows, controls, states, .. } = settings;
        let output = |state: &KeptState| TensorSpec { name: state.output.clone(), ..state.input.clone() };
        let kept = Declared {
            inputs: states.iter().map(|state| state.input.clone()).collect(),
            outputs: states.iter().map(output).collect(),
        };
        if let Some(what) = kept.misfit(network) {
            return Err(what);
        }
        let sized = controls.iter().map(|control| Ok((control.clone(), sizes(control, network)?)));
        let controls: Vec<(Control, Vec<usize>)> = sized.collect::<Result<_, String>>()?;
        let is_filled = |spec: &TensorSpec| {
            let controls = controls.iter().map(|(control, _)| &control.input);
            controls.chain(states.iter().map(|state| &state.input.name)).any(|name| *name == spec.name)
        };
        if let Some(spec) = declared.and_then(|all| all.inputs.iter().find(|spec| is_filled(spec))) {
            let name = &spec.name;
            return Err(format!("its configuration declares {name:?} as an input, which the server fills"));
        }
        let mut signature = network.clone();
        signature.inputs.retain(|spec| !is_filled(spec));
        signature.outputs.retain(|spec| {
            let wanted = declared.is_some_and(|all| all.outputs.iter().any(|own| own.name == spec.name));
            wanted || !states.iter().any(|state| state.output == spec.name)
        });
        Ok(Self { signature, has_rows: *has_rows, controls, states: states.clone() })
    }

    /// What a sequence begins with.
    pub(super) fn beginning(&self) -> Vec<Tensor> {
        let zeros = |state: &KeptState| {
            let count = state.initial.iter().product();
            let data = match state.input.data_type {
                DataType::Bytes => TensorData::Bytes(vec![Vec::new(); count]),
                data_type => made_up::values(data_type, count, |_| 0, |_| 0.0),
            };
            Tensor::new(state.initial.clone(), data).expect("there are as many values as the sizes ask for")
        };
        self.states.iter().map(zeros).collect()
    }

    /// Bytes of that.
    pub(super) fn beginning_bytes(&self) -> u64 {
        let bytes = |state: &KeptState| {
            // Texts are empty at first.
            let each = state.input.data_type.size_bytes().unwrap_or(0);
            (state.initial.iter().product::<usize>() * each) as u64
        };
        self.states.iter().map(bytes).sum()
    }

    /// Adds what the server fills to a client's inputs.
    ///
    /// # Errors
    /// What the sequence would have to be called instead.
    pub(super) fn fill(
        &self,
        inputs: &mut Vec<NamedTensor>,
        past: Vec<Tensor>,
        step: &SequenceStep,
    ) -> Result<(), String> {
        for (control, sizes) in &self.controls {
            let element = control.tells.element(step).ok_or_else(|| match control.tells {
                Tells::Id(DataType::Bytes) => "a text".to_owned(),
                other => format!("a number of type {}", other.data_type()),
            })?;
            let tensor = Tensor::new(sizes.clone(), element).expect("all sizes are 1");
            inputs.push(NamedTensor { name: control.input.clone(), tensor });
        }
        let names = self.states.iter().map(|state| state.input.name.clone());
        inputs.extend(names.zip(past).map(|(name, tensor)| NamedTensor { name, tensor }));
        Ok(())
    }

    /// Takes what is to be remembered out of a network's outputs, and leaves what a client gets.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(super) fn remember(&self, outputs: &mut Vec<NamedTensor>) -> Result<Vec<Tensor>, String> {
        let mut kept = Vec::with_capacity(self.states.len());
        for state in &self.states {
            let at = outputs.iter().position(|output| output.name == state.output);
            let at = at.ok_or_else(|| format!("its state {:?} is missing", state.output))?;
            let unfit =
                |error| format!("its state {:?} does not fit its next request: {error}", state.output);
            state.input.check(&outputs[at].tensor).map_err(unfit)?;
            let is_given = self.signature.outputs.iter().any(|own| own.name == state.output);
            kept.push(if is_given { outputs[at].tensor.clone() } else { outputs.remove(at).tensor });
        }
        Ok(kept)
    }
}

/// The sizes of a control's tensor: one element, in as many dimensions as the network wants.
fn sizes(control: &Control, network: &Signature) -> Result<Vec<usize>, String> {
    let name = &control.input;
    let Some(spec) = network.inputs.iter().find(|spec| spec.name == *name) else {
        let names: Vec<&str> = network.inputs.iter().map(|spec| spec.name.as_str()).collect();
        let names = names.join(", ");
        return Err(format!("its configuration has the control input {name:?}, its network has {names}"));
    };
    let (wanted, own) = (control.tells.data_type(), spec.data_type);
    if wanted != own {
        return Err(format!("its configuration has the control input {name:?} of {wanted}, it is of {own}"));
    }
    let is_one = |dim: &Dim| matches!(dim, Dim::Any | Dim::Fixed(1));
    match spec.shape.iter().all(is_one) {
        true => Ok(vec![1; spec.shape.len()]),
        false => Err(format!("its control input {name:?} takes more than one element")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::SequenceId;
    use crate::stateful::Flag;
    use crate::version::Past;

    fn spec(name: &str, data_type: DataType, shape: &[Dim]) -> TensorSpec {
        TensorSpec { name: name.to_owned(), data_type, shape: shape.to_vec() }
    }

    fn network() -> Signature {
        let rows = [Dim::Any, Dim::Fixed(2)];
        Signature {
            inputs: vec![
                spec("x", DataType::F32, &rows),
                spec("start", DataType::I32, &[Dim::Any, Dim::Fixed(1)]),
                spec("state", DataType::F32, &rows),
            ],
            outputs: vec![spec("y", DataType::F32, &rows), spec("next", DataType::F32, &rows)],
        }
    }

    fn settings() -> SequenceSettings {
        SequenceSettings {
            idle: None,
            has_rows: true,
            controls: vec![Control { input: "start".to_owned(), tells: Tells::Start(Flag::I32([0, 1])) }],
            states: vec![KeptState {
                input: spec("state", DataType::F32, &[Dim::Any, Dim::Fixed(2)]),
                output: "next".to_owned(),
                initial: vec![1, 2],
            }],
        }
    }

    fn tensor(name: &str, values: &[f32]) -> NamedTensor {
        let tensor = Tensor::new(vec![1, values.len()], values.to_vec().into()).expect("it fits");
        NamedTensor { name: name.to_owned(), tensor }
    }

    #[test]
    fn clients_see_neither_controls_nor_states() {
        let stateful = Stateful::fit(&settings(), None, &network()).expect("it fits");
        let names = |specs: &[TensorSpec]| -> Vec<String> { specs.iter().map(|s| s.name.clone()).collect() };
        assert_eq!(names(&stateful.signature.inputs), ["x"]);
        assert_eq!(names(&stateful.signature.outputs), ["y"]);
        let declared = Declared { inputs: Vec::new(), outputs: network().outputs };
        let stateful = Stateful::fit(&settings(), Some(&declared), &network()).expect("it fits");
        assert_eq!(names(&stateful.signature.outputs), ["y", "next"], "where it is declared as an output");
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let stateful = Stateful::fit(&settings(), None, &network()).expect("it fits");
        let step = SequenceStep { id: SequenceId::Number(1), start: true, end: false };
        let mut inputs = vec![tensor("x", &[1.0, 2.0])];
        stateful.fill(&mut inputs, stateful.beginning(), &step).expect("it has a name");
        assert_eq!(inputs[1].tensor.data(), &TensorData::I32(vec![1]));
        assert_eq!(inputs[2], tensor("state", &[0.0, 0.0]));
        assert_eq!(stateful.beginning_bytes(), Past::Network(stateful.beginning()).size());
        let mut outputs = vec![tensor("y", &[0.0; 2]), tensor("next", &[3.0, 4.0])];
        let past = stateful.remember(&mut outputs);
        assert_eq!(outputs, [tensor("y", &[0.0; 2])], "what is the client's is left");
        let mut inputs = Vec::new();
        stateful.fill(&mut inputs, past.expect("it is there"), &step).expect("it has a name");
        assert_eq!(inputs[1], tensor("state", &[3.0, 4.0]));
        let wide = stateful.remember(&mut vec![tensor("next", &[0.0; 3])]).expect_err("too wide");
        assert!(wide.contains("does not fit its next request"), "{wide}");
    }

    #[test]
    fn settings_of_another_network_are_found_out() {
        let misfit = |change: fn(&mut SequenceSettings)| {
            let mut settings = settings();
            change(&mut settings);
            Stateful::fit(&settings, None, &network()).err().expect("it does not fit")
        };
        let what = misfit(|settings| settings.controls[0].input = "begin".to_owned());
        assert!(what.ends_with("the control input \"begin\", its network has x, start, state"), "{what}");
        let what = misfit(|settings| settings.controls[0].tells = Tells::Id(DataType::U64));
        assert!(what.ends_with("\"start\" of UINT64, it is of INT32"), "{what}");
        let what = misfit(|settings| settings.controls[0].input = "x".to_owned());
        assert!(what.contains("of INT32, it is of FP32"), "{what}");
        let what = misfit(|settings| settings.states[0].input.shape[1] = Dim::Fixed(3));
        assert!(what.contains("\"state\" as FP32 [-1, 3], it is FP32 [-1, 2]"), "{what}");
        let what = misfit(|settings| settings.states[0].output = "after".to_owned());
        assert!(what.contains("the output \"after\", its network has y, next"), "{what}");
    }
}
