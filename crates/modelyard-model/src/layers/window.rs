//! The geometry of a window that slides over an image or a series: shared by convolution and pooling.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Misfit, image_shape};

/// A height and a width; in the project file one number for both, or `[height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a positive number, or [height, width]")]
pub enum Size2d {
    /// The same in both directions.
    Square(usize),
    /// Height and width.
    Rectangle([usize; 2]),
}

impl Size2d {
    /// The extent along the height.
    pub fn height(self) -> usize {
        match self {
            Self::Square(n) | Self::Rectangle([n, _]) => n,
        }
    }

    /// The extent along the width.
    pub fn width(self) -> usize {
        match self {
            Self::Square(n) | Self::Rectangle([_, n]) => n,
        }
    }

    /// Whether it is 1 in both directions.
    pub(crate) fn is_one(&self) -> bool {
        self.height() == 1 && self.width() == 1
    }
}

/// What happens at the image's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Padding {
    /// Only windows that lie wholly inside.
    #[default]
    Valid,
    /// Padded so that the output has input / stride positions, rounded up; an odd rest goes to the end.
    Same,
}

/// A window over an image, along both axes; a series is an image of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) rows: Axis,
    pub(crate) columns: Axis,
    pub(crate) channels: usize,
}

/// A window along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axis {
    /// Positions of the input.
    pub(crate) input: usize,
    /// Positions of the output.
    pub(crate) output: usize,
    /// The window's extent.
    pub(crate) size: usize,
    /// Distance between windows.
    pub(crate) stride: usize,
    /// Distance between the window's own positions.
    pub(crate) dilation: usize,
    /// Padding before the first position.
    pub(crate) before: usize,
}

impl Axis {
    /// An axis of one position under a window of one: what a series has beside its steps.
    pub(crate) const SINGLE: Self = Self { input: 1, output: 1, size: 1, stride: 1, dilation: 1, before: 0 };

    fn new(input: usize, size: usize, (stride, dilation): (usize, usize), padding: Padding) -> Self {
        match padding {
            Padding::Valid => {
                let output = (input - reach(size, dilation)) / stride + 1;
                Self { input, output, size, stride, dilation, before: 0 }
            }
            Padding::Same => Self::same(input, size, stride, dilation),
        }
    }

    /// Padded on both sides so that the output has input / stride positions, rounded up.
    pub(crate) fn same(input: usize, size: usize, stride: usize, dilation: usize) -> Self {
        let output = input.div_ceil(stride);
        let padded = ((output - 1) * stride + reach(size, dilation)).saturating_sub(input);
        Self { input, output, size, stride, dilation, before: padded / 2 }
    }

    /// The axis, unless its padding is more than engines take in, which only windows with gaps come to.
    pub(super) fn checked(self) -> Result<Self, Misfit> {
        let padding = self.before.max(self.after());
        if padding <= LARGEST {
            return Ok(self);
        }
        let beyond = format!("{padding} positions beyond the edge, more than {LARGEST}");
        let message = format!("and kernel_size let a window reach {beyond}");
        let hint = Some("use a smaller dilation_rate, or padding = \"valid\"".to_owned());
        Err(Misfit::Field { field: "dilation_rate", message, hint })
    }

    /// From the window's first position to its last.
    pub(crate) fn reach(self) -> usize {
        reach(self.size, self.dilation)
    }

    /// Padding after the last position, as far as a window reaches.
    pub(crate) fn after(self) -> usize {
        ((self.output - 1) * self.stride + self.reach()).saturating_sub(self.before + self.input)
    }

    /// Which of the window's positions lie inside the input, for output position `at`.
    #[inline]
    pub(crate) fn inside(self, at: usize) -> std::ops::Range<usize> {
        let start = at * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.before).saturating_sub(start).div_ceil(self.dilation);
        first..self.size.min(end).max(first)
    }

    /// The output positions whose whole window lies inside.
    pub(crate) fn whole(self) -> std::ops::Range<usize> {
        let first = self.before.div_ceil(self.stride).min(self.output);
        let last = (self.input + self.before).checked_sub(self.reach());
        let end = last.map_or(0, |last| last / self.stride + 1);
        first..end.min(self.output).max(first)
    }

    /// The input position under the window's position `tap`, which must be inside.
    #[inline]
    pub(crate) fn source(self, at: usize, tap: usize) -> usize {
        at * self.stride + tap * self.dilation - self.before
    }
}

/// From the first to the last of `size` positions that are `dilation` apart.
fn reach(size: usize, dilation: usize) -> usize {
    (size - 1) * dilation + 1
}

impl Window {
    /// The window over an image shape, or why it cannot be.
    pub(crate) fn new(
        input: &[usize],
        size: (&'static str, Size2d),
        strides: Size2d,
        padding: Padding,
    ) -> Result<Self, Misfit> {
        Self::dilated(input, size, (strides, one()), padding)
    }

    /// The same with the window's own positions `dilation` apart; as in Keras, only where windows stand side by side.
    pub(crate) fn dilated(
        input: &[usize],
        (field, size): (&'static str, Size2d),
        (strides, dilation): (Size2d, Size2d),
        padding: Padding,
    ) -> Result<Self, Misfit> {
        let [height, width, channels] = image_shape(input)?;
        for (field, setting) in [(field, size), ("strides", strides), ("dilation_rate", dilation)] {
            for value in [setting.height(), setting.width()] {
                if value == 0 {
                    return Err(Misfit::field(field, "must be at least 1"));
                }
                if value > LARGEST {
                    return Err(Misfit::field(field, format!("must be at most {LARGEST}, it is {value}")));
                }
            }
        }
        if !strides.is_one() && !dilation.is_one() {
            return Err(Misfit::Field {
                field: "dilation_rate",
                message: "and strides are both above 1".to_owned(),
                hint: Some("leave one of them out: a dilated window sees as far without strides".to_owned()),
            });
        }
        let reached = [reach(size.height(), dilation.height()), reach(size.width(), dilation.width())];
        if padding == Padding::Valid && (reached[0] > height || reached[1] > width) {
            let fields =
                if dilation.is_one() { field.to_owned() } else { format!("{field} and dilation_rate") };
            return Err(Misfit::Shape {
                wanted: format!("an image of at least [{}, {}, …] for its {fields}", reached[0], reached[1]),
                hint: format!(
                    "use a smaller {fields}, padding = \"same\", or fewer pooling layers before it"
                ),
            });
        }
        let rows = (strides.height(), dilation.height());
        let columns = (strides.width(), dilation.width());
        Ok(Self {
            rows: Axis::new(height, size.height(), rows, padding).checked()?,
            columns: Axis::new(width, size.width(), columns, padding).checked()?,
            channels,
        })
    }

    /// One window over all of an image [h, w, c].
    pub(crate) fn whole([height, width, channels]: [usize; 3]) -> Self {
        let all = |extent| Axis::new(extent, extent, (1, 1), Padding::Valid);
        Self { rows: all(height), columns: all(width), channels }
    }

    /// Whether the window's own positions lie side by side.
    pub(crate) fn is_dense(&self) -> bool {
        self.rows.dilation == 1 && self.columns.dilation == 1
    }

    /// Output positions of one image.
    pub(crate) fn positions(&self) -> usize {
        self.rows.output * self.columns.output
    }

    /// Values of one input image.
    pub(crate) fn input_len(&self) -> usize {
        self.rows.input * self.columns.input * self.channels
    }

    /// Values under one window.
    pub(crate) fn taps(&self) -> usize {
        self.rows.size * self.columns.size * self.channels
    }
}

/// The default distance between windows of a convolution.
pub(super) fn one() -> Size2d {
    Size2d::Square(1)
}

/// The default window of pooling.
pub(super) fn two() -> Size2d {
    Size2d::Square(2)
}

/// A window, stride, gap or padding larger than this is a slip of the pen.
pub(super) const LARGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: usize, size: usize, stride: usize, padding: Padding, wanted: [usize; 3]) {
        check_dilated(input, size, (stride, 1), padding, wanted);
    }

    fn check_dilated(
        input: usize,
        size: usize,
        (stride, dilation): (usize, usize),
        padding: Padding,
        wanted: [usize; 3],
    ) {
        let axis = Axis::new(input, size, (stride, dilation), padding);
        assert_eq!([axis.output, axis.before, axis.after()], wanted, "{axis:?}");
        for at in 0..axis.output {
            assert_eq!(axis.whole().contains(&at), axis.inside(at).len() == axis.size, "{axis:?} at {at}");
        }
    }

    #[test]
    fn output_and_padding_are_as_keras_has_them() {
        check(28, 3, 1, Padding::Valid, [26, 0, 0]);
        check(11, 2, 2, Padding::Valid, [5, 0, 0]);
        check(28, 3, 1, Padding::Same, [28, 1, 1]);
        check(28, 3, 2, Padding::Same, [14, 0, 1]);
        check(5, 2, 1, Padding::Same, [5, 0, 1]);
        check(5, 4, 1, Padding::Same, [5, 1, 2]);
        check(7, 1, 3, Padding::Same, [3, 0, 0]);
        check(2, 5, 1, Padding::Same, [2, 2, 2]);
        check_dilated(9, 3, (1, 2), Padding::Valid, [5, 0, 0]);
        check_dilated(9, 3, (1, 3), Padding::Same, [9, 3, 3]);
        check_dilated(4, 2, (1, 5), Padding::Same, [4, 2, 3]);
    }
}
