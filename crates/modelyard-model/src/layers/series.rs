//! What layers over a series [steps, features] share: its shape, and the window that slides along its steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Misfit;
use super::window::{Axis, LARGEST, Window};

/// What happens at a series' ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepPadding {
    /// Only windows that lie wholly inside.
    #[default]
    Valid,
    /// Padded so that the output has steps / stride steps, rounded up; an odd rest goes to the end.
    Same,
    /// Padded before the first step, so that no step sees a later one.
    Causal,
}

/// A window that slides along a series, before it is known to fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    /// The key that declares the window's size, and the size.
    pub(super) size: (&'static str, usize),
    pub(super) strides: usize,
    pub(super) dilation: usize,
    pub(super) padding: StepPadding,
}

impl Slide {
    /// The window over an input shape, or why it cannot be.
    pub(super) fn window(&self, input: &[usize]) -> Result<Window, Misfit> {
        let [_, channels] = series_shape(input)?;
        let axis = self.axis(input[0])?;
        // Along a line the values under a window lie side by side, unless the window has holes.
        let (rows, columns) = if axis.dilation == 1 { (Axis::SINGLE, axis) } else { (axis, Axis::SINGLE) };
        Ok(Window { rows, columns, channels })
    }

    /// The window over this many steps, or why it cannot be.
    pub(super) fn axis(&self, steps: usize) -> Result<Axis, Misfit> {
        let (field, size) = self.size;
        let (stride, dilation) = (self.strides, self.dilation);
        for (field, value) in [(field, size), ("strides", stride), ("dilation_rate", dilation)] {
            if !(1..=LARGEST).contains(&value) {
                return Err(Misfit::field(field, format!("must be between 1 and {LARGEST}, it is {value}")));
            }
        }
        let reach = (size - 1) * dilation + 1;
        match self.padding {
            StepPadding::Valid if reach > steps => Err(Misfit::Shape {
                wanted: format!("a series of at least {reach} steps for its {field}"),
                hint: format!("use a smaller {field}, padding = \"same\", or a longer series"),
            }),
            StepPadding::Valid => {
                let output = (steps - reach) / stride + 1;
                Ok(Axis { input: steps, output, size, stride, dilation, before: 0 })
            }
            StepPadding::Same => Axis::same(steps, size, stride, dilation).checked(),
            StepPadding::Causal => {
                let output = steps.div_ceil(stride);
                Axis { input: steps, output, size, stride, dilation, before: reach - 1 }.checked()
            }
        }
    }
}

/// Takes steps and features from a series' shape, or says what to do instead.
pub(super) fn series_shape(input: &[usize]) -> Result<[usize; 2], Misfit> {
    <[usize; 2]>::try_from(input).map_err(|_| Misfit::Shape {
        wanted: "a series [steps, features]".to_owned(),
        hint: match input.len() {
            1 => {
                format!("declare the input as a series, for example [{}, 1]: steps, then features", input[0])
            }
            _ => "for images take the layer of the same name that ends in 2d".to_owned(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(steps: usize, slide: (usize, usize, usize), padding: StepPadding, wanted: [usize; 3]) {
        let (size, strides, dilation) = slide;
        let slide = Slide { size: ("kernel_size", size), strides, dilation, padding };
        let axis = slide.axis(steps).expect("it fits");
        assert_eq!([axis.output, axis.before, axis.after()], wanted, "{axis:?}");
        for at in 0..axis.output {
            let inside = axis.inside(at);
            let lies_inside = |tap: usize| {
                (axis.before..axis.before + steps).contains(&(at * axis.stride + tap * axis.dilation))
            };
            assert_eq!(inside.len(), (0..size).filter(|&tap| lies_inside(tap)).count(), "{axis:?} at {at}");
            assert!(inside.clone().all(lies_inside), "{axis:?} at {at}: {inside:?}");
            assert_eq!(axis.whole().contains(&at), inside.len() == size, "{axis:?} at {at}");
        }
    }

    #[test]
    fn output_and_padding_are_as_keras_has_them() {
        check(30, (3, 1, 1), StepPadding::Valid, [28, 0, 0]);
        check(30, (3, 2, 2), StepPadding::Valid, [13, 0, 0]);
        check(30, (3, 1, 4), StepPadding::Same, [30, 4, 4]);
        check(30, (4, 3, 1), StepPadding::Same, [10, 0, 1]);
        check(30, (3, 1, 4), StepPadding::Causal, [30, 8, 0]);
        check(31, (2, 3, 1), StepPadding::Causal, [11, 1, 0]);
        check(2, (2, 1, 5), StepPadding::Same, [2, 2, 3]);
    }
}
