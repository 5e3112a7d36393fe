//! The network's input rows: computed by the pipeline once and kept where they fit into memory, else again for
//! every mini-batch.

use modelyard_data::{DataError, Dataset, Pipeline};

/// Rows are kept ready up to this many bytes.
const READY_BYTES_MAX: usize = 2 << 30;

/// Input rows of one part of the data.
pub(crate) struct InputRows<'a> {
    pipeline: &'a Pipeline,
    dataset: &'a Dataset,
    rows: &'a [usize],
    width: usize,
    ready: Option<Vec<f32>>,
}

impl<'a> InputRows<'a> {
    /// The rows `rows` of a data set.
    pub(crate) fn new(
        pipeline: &'a Pipeline,
        dataset: &'a Dataset,
        rows: &'a [usize],
    ) -> Result<Self, DataError> {
        Self::with_limit(pipeline, dataset, rows, READY_BYTES_MAX)
    }

    fn with_limit(
        pipeline: &'a Pipeline,
        dataset: &'a Dataset,
        rows: &'a [usize],
        bytes_max: usize,
    ) -> Result<Self, DataError> {
        let width: usize = pipeline.input_shape().iter().product();
        let bytes = rows.len().saturating_mul(width).saturating_mul(size_of::<f32>());
        let ready = if bytes <= bytes_max {
            let mut ready = Vec::with_capacity(rows.len() * width);
            pipeline.apply(dataset, rows, &mut ready)?;
            Some(ready)
        } else {
            None
        };
        Ok(Self { pipeline, dataset, rows, width, ready })
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Replaces `out` by the rows at these places of the part, in this order.
    pub(crate) fn gather(&self, places: &[usize], out: &mut Vec<f32>) -> Result<(), DataError> {
        out.clear();
        match &self.ready {
            Some(ready) => {
                for &place in places {
                    out.extend_from_slice(&ready[place * self.width..(place + 1) * self.width]);
                }
                Ok(())
            }
            None => {
                let rows: Vec<usize> = places.iter().map(|&place| self.rows[place]).collect();
                self.pipeline.apply(self.dataset, &rows, out)
            }
        }
    }
}
