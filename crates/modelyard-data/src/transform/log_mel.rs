//! Sound as log-mel features. It runs as sounds come in: what is kept is a tenth of the samples.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Block, Declared, Form, Training, Transform};
use crate::error::Problem;

/// More numbers a sound than this are surely a mistake.
const WIDTH_MAX: usize = 1 << 24;

/// Turns a WAV file into [frames, bands]: how loud each band is in each short time, as the natural logarithm of its
/// power (Hann window, triangular bands equally wide in mel = 2595 log10(1 + f / 700)). Stands first; channels are
/// averaged, other sample rates are converted, longer sounds lose their end, and shorter ones end in silence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogMel {
    /// Samples a second that sounds are brought to.
    #[serde(default = "usual_rate")]
    #[schemars(range(min = 100, max = 768_000))]
    pub sample_rate: u32,
    /// How much of each sound is heard.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub seconds: f64,
    /// Samples that one frame looks at.
    #[serde(default = "usual_n_fft")]
    #[schemars(range(min = 16, max = 65_536))]
    pub n_fft: usize,
    /// Samples from one frame to the next.
    #[serde(default = "usual_hop")]
    #[schemars(range(min = 1, max = 65_536))]
    pub hop: usize,
    /// How many bands.
    #[serde(default = "usual_n_mels")]
    #[schemars(range(min = 1, max = 1024))]
    pub n_mels: usize,
}

fn usual_rate() -> u32 {
    16_000
}

fn usual_n_fft() -> usize {
    512
}

fn usual_hop() -> usize {
    256
}

fn usual_n_mels() -> usize {
    40
}

impl LogMel {
    /// Samples a sound.
    pub(crate) fn samples(&self) -> usize {
        ((self.seconds * f64::from(self.sample_rate)).round() as usize).max(self.n_fft)
    }

    /// Frames and bands.
    pub(crate) fn shape(&self) -> [usize; 2] {
        [1 + (self.samples() - self.n_fft) / self.hop, self.n_mels]
    }

    /// Whether the settings make sense.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let wrong = |what: &str| Err(Problem::new(format!("log_mel: {what}")));
        if !(100..=768_000).contains(&self.sample_rate) {
            return wrong("sample_rate is from 100 to 768000");
        }
        if !(16..=65_536).contains(&self.n_fft) || !(1..=65_536).contains(&self.hop) {
            return wrong("n_fft is from 16 and hop from 1 to 65536");
        }
        if !(1..=1024).contains(&self.n_mels) {
            return wrong("n_mels is from 1 to 1024");
        }
        let width = self.shape()[0].saturating_mul(self.n_mels);
        if !(self.seconds.is_finite() && self.seconds > 0.0) || width > WIDTH_MAX {
            return wrong("seconds is above 0, and short enough for 16 million numbers a sound");
        }
        Ok(())
    }
}

/// The fitted form: nothing is learnt, and nothing is left to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FittedLogMel {}

impl Declared for LogMel {
    type Fitted = FittedLogMel;

    fn fit(&self, training: &Training<'_>) -> Result<FittedLogMel, Problem> {
        FittedLogMel {}.output(training.form)?;
        Ok(FittedLogMel {})
    }
}

impl Transform for FittedLogMel {
    fn output(&self, _: &Form) -> Result<Form, Problem> {
        Err(Problem::new("log_mel stands first, and for an input of the kind audio alone").hint(
            "kind = \"audio\", transforms = [{ type = \"log_mel\", seconds = 1.0 }, { type = \"standard\" }]",
        ))
    }

    /// Nothing: sounds were heard as they came in.
    fn apply(&self, _: &mut Block) {}
}
