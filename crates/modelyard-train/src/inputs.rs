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

#[cfg(test)]
mod tests {
    use modelyard_data::{InputSpec, Kind, OutputKind, OutputSpec, PipelineSpec, SourceSpec, read};

    use super::*;

    #[test]
    fn rows_are_the_same_kept_ready_or_made_again() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.csv"), "x,y\n1,a\n2,b\n4,a\n8,b\n").expect("written");
        let spec = PipelineSpec {
            inputs: vec![InputSpec::new("x", Kind::Number)],
            outputs: vec![OutputSpec::new("y", OutputKind::Category)],
            ..PipelineSpec::default()
        };
        let dataset = read(&SourceSpec::new("a.csv"), folder.path(), &spec).expect("reads");
        let rows = [3, 0, 2, 1];
        let pipeline = Pipeline::fit(&spec, &dataset, &rows).expect("fits");
        let gather = |bytes_max| {
            let inputs =
                InputRows::with_limit(&pipeline, &dataset, &rows, bytes_max).expect("takes the rows");
            let mut out = vec![9.0];
            inputs.gather(&[2, 0], &mut out).expect("takes the rows");
            out
        };
        assert_eq!(gather(0), gather(1 << 20));
        assert_eq!(gather(0).len(), 2);
        assert!(gather(0)[1] > gather(0)[0], "row 3 holds 8, row 2 holds 4");
    }
}
