//! An image being changed: its numbers in the network's row, and memory to draw the changed one in.

/// An image [height, width, channels] of numbers.
pub(crate) struct Canvas<'a> {
    shape: [usize; 3],
    values: &'a mut [f32],
    spare: &'a mut Vec<f32>,
}

impl<'a> Canvas<'a> {
    /// The image in `values`; `spare` is memory to draw in.
    pub(crate) fn new(shape: [usize; 3], values: &'a mut [f32], spare: &'a mut Vec<f32>) -> Self {
        Self { shape, values, spare }
    }

    /// Height and width in pixels.
    pub(crate) fn size(&self) -> [usize; 2] {
        [self.shape[0], self.shape[1]]
    }

    /// Every number.
    pub(crate) fn values(&mut self) -> &mut [f32] {
        self.values
    }

    /// Draws the image anew: each pixel takes the value that stands at the place `source` gives for it (row and
    /// column), between pixels in proportion, beyond the edge that of the edge.
    pub(crate) fn redraw(&mut self, source: impl Fn(usize, usize) -> [f32; 2]) {
        let [height, width, channels] = self.shape;
        self.spare.clear();
        self.spare.extend_from_slice(self.values);
        let bounded = |place: f32, side: usize| {
            let place = place.clamp(0.0, (side - 1) as f32);
            let low = place as usize;
            (low * channels, (low + 1).min(side - 1) * channels, place - low as f32)
        };
        for (pixel, out) in self.values.chunks_exact_mut(channels).enumerate() {
            let [row, column] = source(pixel / width, pixel % width);
            let (top, bottom, down) = bounded(row, height);
            let (left, right, across) = bounded(column, width);
            for (channel, value) in out.iter_mut().enumerate() {
                let at = |row: usize, column: usize| self.spare[row * width + column + channel];
                let upper = at(top, left) + (at(top, right) - at(top, left)) * across;
                let lower = at(bottom, left) + (at(bottom, right) - at(bottom, left)) * across;
                *value = upper + (lower - upper) * down;
            }
        }
    }
}
