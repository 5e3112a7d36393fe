//! From the declared layers to the operations that run: what nobody needs is left out, what belongs
//! together is one operation, and each operation knows whose values it takes.

use crate::ending::Ending;
use crate::layers::{LayerSpec, Role};
use crate::layout::Layout;
use crate::memory::Hidden;
use crate::op::{Place, Purpose};
use crate::stages::{Piece, Source, Stage, Stages, Work};
use crate::wiring::Value;
use crate::{Activation, NetworkSpec};

/// One operation to be built.
#[derive(Clone, Debug)]
struct PlannedOp {
    /// The layer, with the activation that follows it taken in; none where its activation is left to the loss
    /// and nothing else remains.
    layer: Option<LayerSpec>,
    /// The layer's index in the declaration and in the layout.
    index: usize,
    /// The layer whose output comes out: a later one where that was taken in.
    gives: usize,
    /// A convolution that also computes the 2×2 max pooling after it.
    pooled: bool,
}

/// The operations of a network in order, for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    ops: Vec<PlannedOp>,
    pub(crate) layout: Layout,
    pub(crate) input_len: usize,
    pub(crate) output_len: usize,
    pub(crate) ending: Ending,
    /// True where a loss must apply the network's last activation itself.
    pub(crate) ends_in_logits: bool,
    /// True for networks of dense layers over rows of values alone.
    pub(crate) is_dense: bool,
    /// How many steps operations keep of what came before; 0 where they see whole sequences.
    steps_kept: usize,
    /// The layers that remember from one call to the next.
    remembering: Vec<usize>,
}

impl Plan {
    /// Plans a network. A trailing activation equal to `fused` is left to the loss.
    pub(crate) fn new(spec: &NetworkSpec, layout: Layout, fused: Option<Activation>) -> Self {
        let ending = Ending::of(spec, &layout);
        let mut ops = fuse(spec, &layout);
        let ends_in_logits = match ending {
            Ending::Activation { layer, activation } if Some(activation) == fused => {
                leave_activation(&mut ops, layer);
                true
            }
            _ => false,
        };
        Self {
            ops,
            ending,
            steps_kept: 0,
            input_len: layout.input_len(),
            output_len: layout.output.iter().product(),
            ends_in_logits,
            is_dense: is_dense(spec, &layout),
            layout,
            remembering: Vec::new(),
        }
    }

    /// Plans a network over sequences for one step at a time, of which there will be at most `steps`.
    pub(crate) fn of_steps(spec: &NetworkSpec, layout: Layout, steps: usize) -> Self {
        Self { steps_kept: steps, ..Self::new(spec, layout, None) }
    }

    /// Lets these layers remember from one call to the next.
    pub(crate) fn remembering(mut self, layers: &[usize]) -> Self {
        self.remembering = layers.to_vec();
        self
    }

    /// Builds the operations for at most `rows_max` rows.
    pub(crate) fn build(&self, rows_max: usize, purpose: Purpose) -> Stages {
        let mut builder = Builder {
            plan: self,
            rows_max,
            purpose,
            list: Vec::new(),
            parts: vec![None; self.layout.parts.len()],
            given: vec![None; self.layout.layers.len()],
        };
        for planned in &self.ops {
            builder.add(planned);
        }
        let output = builder.value(Value::Layer(self.layout.layers.len() - 1));
        Stages { list: builder.list, output }
    }

    /// Values of one row that come out of each operation, those gathered for it included.
    pub(crate) fn lens(&self) -> impl Iterator<Item = usize> {
        let len = |shape: &[usize]| shape.iter().product::<usize>();
        self.ops.iter().flat_map(move |op| {
            let layer = &self.layout.layers[op.index];
            let gathered = match layer.sources.as_slice() {
                [Value::Layer(_)] => 0,
                [Value::Input(_)] if self.layout.parts.len() == 1 => 0,
                _ => layer.inputs.iter().map(|shape| len(shape)).sum(),
            };
            [gathered, len(&self.layout.layers[op.gives].output)]
        })
    }

    /// The largest number of values between two operations for one row.
    pub(crate) fn widest(&self) -> usize {
        self.lens().chain([self.input_len]).max().unwrap_or(0)
    }

    /// What all operations keep beside what goes from one to the next.
    pub(crate) fn hidden(&self, purpose: Purpose) -> Hidden {
        let layers = self.ops.iter().filter_map(|op| {
            let layer = op.layer.as_ref()?.layer();
            Some(layer.hidden(&self.layout.layers[op.index].inputs, purpose))
        });
        layers.fold(Hidden::default(), Hidden::and)
    }

    /// Multiplications and additions of one row's forward pass, roughly.
    pub(crate) fn work(&self) -> usize {
        let layers = self.layout.layers.iter();
        layers
            .map(|layer| {
                let kernels = layer.parameters.iter().filter(|parameter| parameter.shape.len() > 1);
                let kernels: usize = kernels.map(|kernel| kernel.shape.iter().product::<usize>()).sum();
                // A kernel is used once at each position of the output; by recurrent layers at each step.
                let positions = |shape: &[usize]| shape[..shape.len() - 1].iter().product::<usize>();
                let steps = if layer.input().len() == 2 { layer.input()[0] } else { 1 };
                let times = positions(&layer.output).max(steps);
                2 * (kernels * times).max(layer.output.iter().product())
            })
            .fold(0, usize::saturating_add)
    }
}

/// The layers as operations, each with what can run inside it.
fn fuse(spec: &NetworkSpec, layout: &Layout) -> Vec<PlannedOp> {
    let mut consumers = vec![0; layout.layers.len()];
    for source in layout.layers.iter().flat_map(|layer| &layer.sources) {
        if let Value::Layer(index) = source {
            consumers[*index] += 1;
        }
    }
    let mut ops: Vec<PlannedOp> = Vec::with_capacity(layout.layers.len());
    // Which operation gives each layer's output.
    let mut giver: Vec<usize> = Vec::with_capacity(layout.layers.len());
    for (node, layer) in spec.layers.iter().zip(&layout.layers) {
        if let [Value::Layer(before)] = layer.sources[..]
            && consumers[before] == 1
            && ops[giver[before]].take_in(&node.layer)
        {
            ops[giver[before]].gives = layer.index;
            giver.push(giver[before]);
            continue;
        }
        giver.push(ops.len());
        ops.push(PlannedOp {
            layer: Some(node.layer.clone()),
            index: layer.index,
            gives: layer.index,
            pooled: false,
        });
    }
    ops
}

/// Takes the activation that the network's answers come through out of the operation that gives this layer's output.
fn leave_activation(ops: &mut [PlannedOp], layer: usize) {
    let op = ops.iter_mut().find(|op| op.gives == layer).expect("an operation gives each layer's output");
    let Some(planned) = &mut op.layer else { return };
    match planned.activation_mut() {
        Some(slot) => *slot = None,
        // An activation by itself, over each step or not: nothing remains.
        None => op.layer = None,
    }
}

fn is_dense(spec: &NetworkSpec, layout: &Layout) -> bool {
    let dense = |layer: &LayerSpec| {
        matches!(
            layer,
            LayerSpec::Dense(_)
                | LayerSpec::Activation(_)
                | LayerSpec::Dropout(_)
                | LayerSpec::BatchNorm(_)
                | LayerSpec::Flatten(_)
                | LayerSpec::Add(_)
                | LayerSpec::Multiply(_)
                | LayerSpec::Concatenate(_)
        )
    };
    spec.layers.iter().all(|node| dense(&node.layer))
        && layout.layers.iter().all(|layer| layer.output.len() == 1)
}

impl PlannedOp {
    /// Takes the next layer into this operation where both can be one; says whether it did.
    fn take_in(&mut self, next: &LayerSpec) -> bool {
        let Some(layer) = &mut self.layer else { return false };
        let activation = match layer {
            LayerSpec::Dense(dense) => dense.activation,
            LayerSpec::Conv2d(conv) => conv.activation,
            _ => return false,
        };
        match (layer, next) {
            (LayerSpec::Conv2d(_), LayerSpec::MaxPool2d(pool)) => {
                // An image of one row or column has no 2×2 window; the shape check has refused it.
                let fits =
                    pool.is_halving() && !self.pooled && activation.is_none_or(Activation::is_monotone);
                self.pooled |= fits;
                fits
            }
            (layer, LayerSpec::Activation(next)) => {
                let fits = activation.is_none() && (!self.pooled || next.activation.is_monotone());
                if let (true, Some(slot)) = (fits, layer.activation_mut()) {
                    *slot = Some(next.activation);
                }
                fits
            }
            _ => false,
        }
    }
}

/// Turns planned operations into stages, in order.
struct Builder<'a> {
    plan: &'a Plan,
    rows_max: usize,
    purpose: Purpose,
    list: Vec<Stage>,
    /// Where each input part comes from, once it was wanted.
    parts: Vec<Option<Source>>,
    /// Where each layer's output comes from.
    given: Vec<Option<Source>>,
}

impl Builder<'_> {
    fn add(&mut self, planned: &PlannedOp) {
        let layer = &self.plan.layout.layers[planned.index];
        let sources: Vec<Source> = layer.sources.iter().map(|&value| self.value(value)).collect();
        let source = match sources[..] {
            [source] => source,
            _ => self.gather(&sources, &layer.inputs),
        };
        let place = Place {
            input: layer.input(),
            inputs: &layer.inputs,
            weights: &layer.places,
            rows_max: self.rows_max,
            purpose: self.purpose,
            trainable: layer.trainable,
            pooled: planned.pooled,
            remembers: self.plan.remembering.contains(&planned.index),
            index: planned.index,
            steps_kept: self.plan.steps_kept,
        };
        let op = planned.layer.as_ref().and_then(|layer| layer.layer().plan(&place));
        let given = match op {
            None => source,
            Some(op) => {
                let masks = layer.masks.map(|mask| mask.map(|mask| self.value(mask)));
                let trained = layer.trainable
                    && layer.parameters.iter().any(|parameter| parameter.role == Role::Trained);
                let len = self.plan.layout.layers[planned.gives].output.iter().product();
                let learns = trained || self.learns(source);
                self.push(Stage { work: Work::Op { op, source }, len, masks, learns })
            }
        };
        self.given[planned.gives] = Some(given);
    }

    /// Where a value comes from; cuts an input part out of the row where it is wanted for the first time.
    fn value(&mut self, value: Value) -> Source {
        let part = match value {
            Value::Layer(index) => return self.given[index].expect("layers take what stands before them"),
            Value::Input(_) if self.parts.len() == 1 => return Source::Input,
            Value::Input(part) => part,
        };
        if let Some(source) = self.parts[part] {
            return source;
        }
        let (_, range) = &self.plan.layout.parts[part];
        let piece = Piece { source: Source::Input, start: range.start, len: range.len() };
        let work = Work::Gather { pieces: vec![piece] };
        let source = self.push(Stage { work, len: range.len(), masks: [None; 2], learns: false });
        self.parts[part] = Some(source);
        source
    }

    /// Puts the values of several sources side by side.
    fn gather(&mut self, sources: &[Source], shapes: &[Vec<usize>]) -> Source {
        let piece = |(&source, shape): (&Source, &Vec<usize>)| Piece {
            source,
            start: 0,
            len: shape.iter().product(),
        };
        let pieces: Vec<Piece> = sources.iter().zip(shapes).map(piece).collect();
        let len = pieces.iter().map(|piece| piece.len).sum();
        let learns = sources.iter().any(|&source| self.learns(source));
        self.push(Stage { work: Work::Gather { pieces }, len, masks: [None; 2], learns })
    }

    fn push(&mut self, stage: Stage) -> Source {
        self.list.push(stage);
        Source::Stage(self.list.len() - 1)
    }

    fn learns(&self, source: Source) -> bool {
        matches!(source, Source::Stage(at) if self.list[at].learns)
    }
}
