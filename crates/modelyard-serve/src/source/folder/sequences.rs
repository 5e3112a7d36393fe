//! `sequence_batching` of a Triton configuration: what a network is told of sequences, and what is kept for it.

use std::time::Duration;

use modelyard_types::{DataType, Dim, TensorSpec};

use super::batching;
use super::config::{data_type, dim};
use super::fields::Refusal;
use super::text::Field;
use crate::settings::ModelSettings;
use crate::stateful::{Control, Flag, KeptState, SequenceSettings, Tells};

/// Most values of one state.
const VALUES_MAX: usize = 1 << 24;
/// A day: nobody goes on after that.
const IDLE_MICROS_MAX: u64 = 24 * 3600 * 1_000_000;

/// Reads `sequence_batching`; what it says of batches goes into the settings. Its tensors have no rows yet.
///
/// # Errors
/// What is not understood or not supported.
pub(super) fn parse(field: &Field, settings: &mut ModelSettings) -> Result<SequenceSettings, Refusal> {
    let mut sequences = SequenceSettings::default();
    field.message()?.each("sequence_batching", |inner| {
        match inner.name.as_str() {
            "max_sequence_idle_microseconds" => {
                let micros = inner.number(0, IDLE_MICROS_MAX)?;
                sequences.idle = (micros > 0).then_some(Duration::from_micros(micros));
            }
            "control_input" => add_control(inner, &mut sequences)?,
            "state" => add_state(inner, &mut sequences)?,
            "direct" => batching::direct(inner, settings)?,
            "oldest" => batching::oldest(inner, settings)?,
            "iterative_sequence" => inner.must_be_false("send a request for each step")?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(sequences)
}

fn add_control(field: &Field, sequences: &mut SequenceSettings) -> Result<(), Refusal> {
    let (mut input, mut controls) = (String::new(), Vec::new());
    field.message()?.each("control_input", |inner| {
        match inner.name.as_str() {
            "name" => inner.text()?.clone_into(&mut input),
            "control" => controls.push(tells(inner)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let [tells] = controls[..] else {
        let what = format!("the control_input {input:?} has {} controls, not one", controls.len());
        return Err(Refusal::new(field.line, what).hint("give each control an input of its own"));
    };
    let kind = std::mem::discriminant(&tells);
    if sequences.controls.iter().any(|other| std::mem::discriminant(&other.tells) == kind) {
        return Err(Refusal::new(field.line, format!("the control_input {input:?} tells what another does")));
    }
    check_name(field, &input, sequences)?;
    sequences.controls.push(Control { input, tells });
    Ok(())
}

/// An input that the server fills has a name, and is filled once.
fn check_name(field: &Field, input: &str, sequences: &SequenceSettings) -> Result<(), Refusal> {
    let controls = sequences.controls.iter().map(|control| &control.input);
    let mut names = controls.chain(sequences.states.iter().map(|state| &state.input.name));
    match () {
        () if input.is_empty() => Err(Refusal::new(field.line, format!("this {} has no name", field.name))),
        () if names.any(|name| name == input) => {
            Err(Refusal::new(field.line, format!("the input {input:?} is filled twice")))
        }
        () => Ok(()),
    }
}

fn tells(field: &Field) -> Result<Tells, Refusal> {
    let (mut kind, mut id) = ("CONTROL_SEQUENCE_START", None);
    let (mut ints, mut floats, mut truths) = (Vec::new(), Vec::new(), Vec::new());
    field.message()?.each("control", |inner| {
        match inner.name.as_str() {
            "kind" => kind = inner.word()?,
            "int32_false_true" => ints.push(inner.number(i32::MIN, i32::MAX)?),
            "fp32_false_true" => floats.push(inner.number(f32::MIN, f32::MAX)?),
            "bool_false_true" => truths.push(inner.truth()?),
            "data_type" => id = Some(data_type(inner)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let flag = match (&ints[..], &floats[..], &truths[..]) {
        (&[no, yes], [], []) => Some(Flag::I32([no, yes])),
        ([], &[no, yes], []) => Some(Flag::F32([no, yes])),
        ([], [], &[no, yes]) => Some(Flag::Bool([no, yes])),
        _ => None,
    };
    let has_values = !(ints.is_empty() && floats.is_empty() && truths.is_empty());
    let refused = |what: String| Refusal::new(field.line, what);
    match (kind, id, flag) {
        ("CONTROL_SEQUENCE_CORRID", Some(id), None) if !has_values => match id {
            DataType::U64 | DataType::I64 | DataType::U32 | DataType::I32 | DataType::Bytes => {
                Ok(Tells::Id(id))
            }
            other => Err(refused(format!("{kind} of {other} is not supported"))
                .hint("take TYPE_UINT64, TYPE_INT64, TYPE_UINT32, TYPE_INT32 or TYPE_STRING")),
        },
        ("CONTROL_SEQUENCE_CORRID", ..) => Err(refused(format!("{kind} needs a data_type and nothing else"))),
        ("CONTROL_SEQUENCE_START", None, Some(flag)) => Ok(Tells::Start(flag)),
        ("CONTROL_SEQUENCE_READY", None, Some(flag)) => Ok(Tells::Ready(flag)),
        ("CONTROL_SEQUENCE_END", None, Some(flag)) => Ok(Tells::End(flag)),
        ("CONTROL_SEQUENCE_START" | "CONTROL_SEQUENCE_READY" | "CONTROL_SEQUENCE_END", ..) => {
            let what = format!("{kind} needs the two values of no and yes, of one type");
            Err(refused(what).hint("say int32_false_true: [0, 1], or fp32_false_true or bool_false_true"))
        }
        _ => Err(refused(format!("the control {kind} is not supported"))),
    }
}

fn add_state(field: &Field, sequences: &mut SequenceSettings) -> Result<(), Refusal> {
    let mut input = TensorSpec { name: String::new(), data_type: DataType::F32, shape: Vec::new() };
    let (mut output, mut initial) = (String::new(), None);
    field.message()?.each("state", |inner| {
        match inner.name.as_str() {
            "input_name" => inner.text()?.clone_into(&mut input.name),
            "output_name" => inner.text()?.clone_into(&mut output),
            "data_type" => input.data_type = data_type(inner)?,
            "dims" => input.shape.push(dim(inner)?),
            "initial_state" => initial = Some((beginning(inner)?, inner.line)),
            "use_same_buffer_for_input_output" | "use_growable_memory" => {
                inner.must_be_false("states come back as the network gave them: take the field out")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    check_name(field, &input.name, sequences)?;
    if output.is_empty() || sequences.states.iter().any(|other| other.output == output) {
        let what = format!("the state {:?} needs an output_name of its own", input.name);
        return Err(Refusal::new(field.line, what));
    }
    // As Triton has it: sizes that are open begin with 1.
    let own = || input.shape.iter().map(|dim| if let Dim::Fixed(size) = dim { *size } else { 1 }).collect();
    let (initial, line) = match initial {
        None => (own(), field.line),
        Some(((data_type, sizes), line)) if data_type == input.data_type && fits(&sizes, &input.shape) => {
            (sizes, line)
        }
        Some((_, line)) => {
            let what = format!("the initial_state of {:?} has another type or other dims", input.name);
            return Err(Refusal::new(line, what));
        }
    };
    if initial.contains(&0) {
        let what = format!("the state {:?} begins without a value", input.name);
        return Err(
            Refusal::new(line, what).hint("no network is run on tensors without values: begin with some")
        );
    }
    let count = initial.iter().try_fold(1_usize, |count, &size| count.checked_mul(size));
    if count.is_none_or(|count| count > VALUES_MAX) {
        let what = format!("the state {:?} begins with more than {VALUES_MAX} values", input.name);
        return Err(Refusal::new(line, what));
    }
    sequences.states.push(KeptState { input, output, initial });
    Ok(())
}

fn fits(sizes: &[usize], shape: &[Dim]) -> bool {
    let alike = |(size, dim): (&usize, &Dim)| *dim == Dim::Any || *dim == Dim::Fixed(*size);
    sizes.len() == shape.len() && sizes.iter().zip(shape).all(alike)
}

/// What a sequence begins with: zeros of this type and these sizes.
fn beginning(field: &Field) -> Result<(DataType, Vec<usize>), Refusal> {
    let (mut kind, mut sizes, mut zeros) = (DataType::F32, Vec::new(), false);
    field.message()?.each("initial_state", |inner| {
        match inner.name.as_str() {
            "name" => drop(inner.text()?),
            "data_type" => kind = data_type(inner)?,
            "dims" => match dim(inner)? {
                Dim::Fixed(size) => sizes.push(size),
                Dim::Any => {
                    return Err(Refusal::new(inner.line, "an initial_state's dims must be sizes, not -1"));
                }
            },
            "zero_data" => zeros = inner.truth()?,
            "data_file" => return Err(inner.unsupported("say zero_data: true")),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match zeros {
        true => Ok((kind, sizes)),
        false => Err(Refusal::new(field.line, "this initial_state has no data").hint("say zero_data: true")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::config;
    use super::*;

    const FULL: &str = r#"
max_batch_size: 4
sequence_batching {
  max_sequence_idle_microseconds: 5000000
  oldest { max_candidate_sequences: 4 preferred_batch_size: [ 4, 2 ] max_queue_delay_microseconds: 100 }
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START fp32_false_true: [ 0, 1 ] } ] },
    { name: "READY" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ false, true ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ] },
    { name: "CORRID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_INT64 } ] }
  ]
  state [
    { input_name: "in" output_name: "out" data_type: TYPE_FP32 dims: [ 2, -1 ] },
    { input_name: "more" output_name: "next" data_type: TYPE_INT32 dims: [ -1 ]
      initial_state { name: "none" data_type: TYPE_INT32 dims: [ 3 ] zero_data: true } }
  ]
}"#;

    #[test]
    fn all_that_is_supported_is_read() {
        let config = config::parse(FULL).expect("all of it is supported");
        let sequences = config.settings.sequences.expect("it is asked for");
        assert_eq!((sequences.idle, sequences.has_rows), (Some(Duration::from_secs(5)), true));
        assert_eq!(config.settings.preferred_rows, Some(vec![2, 4]));
        assert_eq!(config.settings.batch_delay, Some(Duration::from_micros(100)));
        let tells: Vec<Tells> = sequences.controls.iter().map(|control| control.tells).collect();
        let [start, ready, end] = [Flag::F32([0.0, 1.0]), Flag::Bool([false, true]), Flag::I32([0, 1])];
        assert_eq!(
            tells,
            [Tells::Start(start), Tells::Ready(ready), Tells::End(end), Tells::Id(DataType::I64)]
        );
        let [first, second] = &sequences.states[..] else { panic!("two states") };
        assert_eq!(first.input.shape, [Dim::Any, Dim::Fixed(2), Dim::Any], "with the rows");
        assert_eq!((&first.initial, &second.initial), (&vec![1, 2, 1], &vec![1, 3]));
        assert_eq!((second.input.name.as_str(), second.output.as_str()), ("more", "next"));
        let direct = config::parse("sequence_batching { direct { minimum_slot_utilization: 0.0 } }");
        let sequences = direct.expect("supported").settings.sequences.expect("it is asked for");
        assert_eq!(sequences, SequenceSettings::default(), "no rows, nothing kept, nothing told");
    }

    #[test]
    fn what_is_wrong_or_not_done_is_refused_by_name() {
        let start = r#"control_input { name: "a" control { int32_false_true: [0, 1] } }"#;
        let state = r#"input_name: "s" output_name: "t" data_type: TYPE_FP32 dims: 2"#;
        for (inner, want) in [
            ("direct { minimum_slot_utilization: 0.5 }".to_owned(), "minimum_slot_utilization is not supported"),
            ("oldest { preserve_ordering: true }".to_owned(), "preserve_ordering is not supported"),
            ("iterative_sequence: true".to_owned(), "iterative_sequence is not supported"),
            ("slots: 3".to_owned(), "slots is no field of sequence_batching"),
            (format!("{start} {start}"), "tells what another does"),
            (start.replace("[0, 1]", "[0]"), "CONTROL_SEQUENCE_START needs the two values"),
            (start.replace("int32", "data_type: TYPE_INT32 int32"), "needs the two values"),
            (start.replace("int32", "kind: CONTROL_MODEL_STATE int32"), "CONTROL_MODEL_STATE is not supported"),
            (start.replace("int32", "kind: CONTROL_SEQUENCE_CORRID int32"), "needs a data_type and nothing else"),
            (r#"control_input { name: "a" }"#.to_owned(), "\"a\" has 0 controls, not one"),
            (start.replace("\"a\"", "\"\""), "this control_input has no name"),
            (
                r#"control_input { name: "a" control { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_FP32 } }"#
                    .to_owned(),
                "of FP32 is not supported",
            ),
            (format!("{start} state {{ {} }}", state.replace("\"s\"", "\"a\"")), "\"a\" is filled twice"),
            (format!("state {{ {state} }} state {{ {} }}", state.replace("\"s\"", "\"r\"")), "output_name of its own"),
            (format!("state {{ {state} initial_state {{ dims: 2 data_file: \"x\" }} }}"), "data_file is not supported"),
            (format!("state {{ {state} initial_state {{ dims: 3 zero_data: true }} }}"), "other dims"),
            (format!("state {{ {state} initial_state {{ dims: 2 }} }}"), "has no data"),
            (format!("state {{ {} }}", state.replace("dims: 2", "dims: [-1, 0]")), "begins without a value"),
            (format!("state {{ {state} use_growable_memory: true }}"), "use_growable_memory is not supported"),
            (format!("state {{ {} }}", state.replace("dims: 2", "dims: [99999, 99999]")), "more than 16777216"),
        ] {
            let text = format!("\nsequence_batching {{ {inner} }}");
            let refusal = config::parse(&text).expect_err(&text);
            assert!(refusal.line == 2 && refusal.what.contains(want), "{want:?} is not in {refusal:?}");
        }
        let twice = config::parse("sequence_batching { }\ndynamic_batching { }").expect_err("one of them");
        assert_eq!(
            (twice.line, twice.what.contains("stands beside sequence_batching")),
            (2, true),
            "{twice:?}"
        );
    }
}
