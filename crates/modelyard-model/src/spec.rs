//! The declaration of a network: its input, its layers in order, and every shape that follows from them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ending::{self, Ending};
use crate::error::shape_text;
use crate::layers::Misfit;
use crate::layout::{Layout, LayoutLayer, Part, check_row};
use crate::masks::Masks;
use crate::memory;
use crate::node::{InputPart, Node};
use crate::wiring::{Value, wire};
use crate::{Activation, ModelError};

/// A network as declared: the shape of one input row and the layers, read like Keras's `Sequential`; where
/// layers name whose values they take, a graph.
///
/// ```
/// use modelyard_model::{Activation, Dense, LayerSpec, NetworkSpec};
///
/// let spec = NetworkSpec::new(
///     vec![64],
///     [
///         LayerSpec::Dense(Dense::new(32, Some(Activation::Relu))),
///         LayerSpec::Dense(Dense::new(10, Some(Activation::Softmax))),
///     ],
/// );
/// assert_eq!(spec.output_shape()?, [10]);
/// assert_eq!(spec.summary()?[1].parameters, 330);
/// # Ok::<(), modelyard_model::ModelError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// The input's shape without the batch dimension: [features], [steps, features], or
    /// [height, width, channels] for images. Of several parts the number of all their values.
    pub input: Vec<usize>,
    /// The parts of an input of several kinds, whose values a row holds one after the other. Empty where the
    /// input is one thing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputPart>,
    /// The layers, first to last; the last one gives the answer.
    pub layers: Vec<Node>,
}

/// One line of a network's summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSummary {
    /// The layer's name, or index and kind, as weights are named: `0.dense`.
    pub name: String,
    /// The shape that comes out, without the batch dimension.
    pub output_shape: Vec<usize>,
    /// Number of weights, running statistics included.
    pub parameters: usize,
}

impl NetworkSpec {
    /// A network whose input is one thing.
    pub fn new<N: Into<Node>>(input: Vec<usize>, layers: impl IntoIterator<Item = N>) -> Self {
        Self { input, inputs: Vec::new(), layers: layers.into_iter().map(Into::into).collect() }
    }

    /// A network whose input has several parts.
    pub fn with_parts<N: Into<Node>>(parts: Vec<InputPart>, layers: impl IntoIterator<Item = N>) -> Self {
        let len = |part: &InputPart| part.shape.iter().fold(1usize, |len, &n| len.saturating_mul(n));
        let total = parts.iter().fold(0usize, |sum, part| sum.saturating_add(len(part)));
        Self { inputs: parts, ..Self::new(vec![total], layers) }
    }

    /// The shape after each layer, without the batch dimension.
    ///
    /// # Errors
    /// Where a layer does not fit those before it, a name is wrong, a setting can never work, or sizes are
    /// absurd.
    pub fn shapes(&self) -> Result<Vec<Vec<usize>>, ModelError> {
        Ok(self.layout()?.layers.into_iter().map(|layer| layer.output).collect())
    }

    /// The shape of one output row.
    ///
    /// # Errors
    /// As [`Self::shapes`].
    pub fn output_shape(&self) -> Result<Vec<usize>, ModelError> {
        Ok(self.layout()?.output)
    }

    /// The activation that the network's answers come through, whatever shape they are brought to behind it:
    /// `softmax` and `sigmoid` outputs are probabilities, without one they are logits. None for networks that
    /// cannot be.
    pub fn output_activation(&self) -> Option<Activation> {
        Ending::of(self, &self.layout().ok()?).activation()
    }

    /// Name, output shape and number of weights of each layer.
    ///
    /// # Errors
    /// As [`Self::shapes`].
    pub fn summary(&self) -> Result<Vec<LayerSummary>, ModelError> {
        let lines = self.layout()?.layers.into_iter().map(|layer| LayerSummary {
            parameters: layer.parameter_count(),
            output_shape: layer.output,
            name: layer.name,
        });
        Ok(lines.collect())
    }

    /// Infers everything, or says which layer cannot be and why.
    pub(crate) fn layout(&self) -> Result<Layout, ModelError> {
        let wires = self.checked_wires()?;
        let mut layout = Layout {
            layers: Vec::with_capacity(self.layers.len()),
            trained_len: 0,
            state_len: 0,
            input: self.input.clone(),
            parts: self.parts()?,
            output: Vec::new(),
        };
        let mut masks = Masks::default();
        for (index, sources) in wires.iter().enumerate() {
            let mut layer = self.lay(index, sources, &layout)?;
            let rule = self.layers[index].layer.layer().mask_rule();
            let masks = masks.add(rule, (sources, layer.input().len()), |value| self.value_text(value));
            layer.masks = masks.map_err(|misfit| self.misfit(index, sources, &layer.inputs, misfit))?;
            layout.place(&mut layer)?;
            layout.layers.push(layer);
        }
        layout.output = layout.layers.last().map(|layer| layer.output.clone()).unwrap_or_default();
        ending::check_dropout(self, &layout)?;
        memory::check_inference(self, &layout)?;
        Ok(layout)
    }

    /// One layer's shapes and weights; the weights have no place yet.
    fn lay(&self, index: usize, sources: &[Value], layout: &Layout) -> Result<LayoutLayer, ModelError> {
        let node = &self.layers[index];
        let (layer, kind) = (node.layer.layer(), node.layer.kind());
        let inputs: Vec<Vec<usize>> = sources.iter().map(|&source| layout.shape(source).to_vec()).collect();
        check_row(&inputs, &format!("the input of layer {index} ({kind})"))?;
        let shape =
            if inputs.len() == 1 { layer.output_shape(&inputs[0]) } else { layer.joined_shape(&inputs) };
        let output = shape.map_err(|misfit| self.misfit(index, sources, &inputs, misfit))?;
        check_row(std::slice::from_ref(&output), &format!("the output of layer {index} ({kind})"))?;
        Ok(LayoutLayer {
            index,
            name: node.name.clone().unwrap_or_else(|| format!("{index}.{kind}")),
            sources: sources.to_vec(),
            parameters: layer.joined_parameters(&inputs),
            places: Vec::new(),
            masks: [None; 2],
            trainable: node.trainable,
            inputs,
            output,
        })
    }

    fn checked_wires(&self) -> Result<Vec<Vec<Value>>, ModelError> {
        if self.layers.is_empty() {
            return Err(ModelError::Spec { message: "it has no layers".to_owned() });
        }
        wire(self)
    }

    /// The shape of each input part, and where in a row its values lie.
    fn parts(&self) -> Result<Vec<Part>, ModelError> {
        let whole = [InputPart { name: "input".to_owned(), shape: self.input.clone() }];
        let declared = if self.inputs.is_empty() { &whole[..] } else { &self.inputs };
        let (mut parts, mut end) = (Vec::new(), 0);
        for InputPart { name, shape } in declared {
            check_input(name, shape)?;
            let start = end;
            end += check_row(std::slice::from_ref(shape), &format!("the input '{name}'"))?;
            parts.push((shape.clone(), start..end));
        }
        check_row(&[vec![end]], "the input")?;
        if !self.inputs.is_empty() && self.input != [end] {
            let input = shape_text(&self.input);
            return Err(ModelError::Spec {
                message: format!("its input is {input}, and the parts hold [{end}] values"),
            });
        }
        Ok(parts)
    }

    /// Says in the user's terms why a layer cannot stand where it stands.
    fn misfit(&self, index: usize, sources: &[Value], shapes: &[Vec<usize>], misfit: Misfit) -> ModelError {
        let kind = self.layers[index].layer.kind();
        match misfit {
            Misfit::Field { field, message, hint } => ModelError::Layer { index, kind, field, message, hint },
            Misfit::Shape { wanted, hint } => {
                let given = sources.iter().zip(shapes).map(|(&source, shape)| {
                    format!("{} gives {}", self.value_text(source), shape_text(shape))
                });
                let given = given.collect::<Vec<_>>().join(", ");
                ModelError::Shape { index, kind, wanted, given, hint }
            }
        }
    }

    /// A value as messages name it: `layer 1 (conv2d)`, `the input`, `the input part 'image'`.
    pub(crate) fn value_text(&self, value: Value) -> String {
        match value {
            Value::Layer(index) => format!("layer {index} ({})", self.layers[index].layer.kind()),
            Value::Input(part) => match self.inputs.get(part) {
                Some(part) => format!("the input part '{}'", part.name),
                None => "the input".to_owned(),
            },
        }
    }
}

fn check_input(name: &str, shape: &[usize]) -> Result<(), ModelError> {
    let shown = shape_text(shape);
    let spec = |message: String| Err(ModelError::Spec { message });
    if shape.is_empty() || shape.len() > 3 {
        return spec(format!(
            "its {name} is {shown}, it must be [features], [steps, features] or [height, width, channels]"
        ));
    }
    if shape.contains(&0) {
        return spec(format!("its {name} {shown} holds a zero"));
    }
    Ok(())
}
