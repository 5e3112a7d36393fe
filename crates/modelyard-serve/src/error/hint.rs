//! The way out of each failure, for whoever reads it.

use modelyard_types::{ModelName, Version};

use super::ServeError;

/// A name less like any known one than this is not suggested.
const LIKENESS_MIN: f64 = 0.7;

impl ServeError {
    /// That there is no such model, with the one of those known that was perhaps meant.
    pub(crate) fn unknown_model<'n>(name: &str, known: impl Iterator<Item = &'n ModelName>) -> Self {
        let nearest = known
            .map(|known| (strsim::jaro_winkler(name, known.as_str()), known))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known.to_string());
        Self::UnknownModel { name: name.chars().take(80).collect(), nearest }
    }

    /// What the caller can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NothingToServe { model } => Some(format!(
                "none passed its gates; point the alias `live` at one: modelyard models promote {model} <version>"
            )),
            Self::TooManyRows { .. } => Some("split the request".to_owned()),
            Self::QueueFull { .. } => Some("try again later, or raise the queue's limit".to_owned()),
            Self::UnknownSequence { .. } => Some(
                "begin one by sequence_start in its first request, which comes before the others".to_owned(),
            ),
            Self::SequencesFull { .. } => Some(
                "end sequences by sequence_end in their last request, or raise --sequences-max".to_owned(),
            ),
            Self::SequenceCrowded { .. } => Some("wait for answers before sending more".to_owned()),
            Self::SequenceRows { .. } => Some("begin a sequence for each series".to_owned()),
            Self::SequenceSteps { .. } => Some("send them in several requests of the sequence".to_owned()),
            Self::SequenceNeeded { .. } => Some(
                "name a sequence_id, with sequence_start in its first request and sequence_end in its last".to_owned(),
            ),
            Self::SequenceName { .. } => Some("name the sequence so".to_owned()),
            Self::SequenceNoRoom { .. } => {
                Some("end sequences by sequence_end in their last request, or raise --memory-budget".to_owned())
            }
            Self::SequenceVersion { .. } => Some("name that version, or none".to_owned()),
            Self::Unloaded { model } => {
                Some(format!("POST /v2/repository/models/{model}/load brings it back"))
            }
            Self::NoRoom { .. } => Some("raise --memory-budget, or try again when less is asked".to_owned()),
            Self::Folder { hint, .. } | Self::BadOverride { hint, .. } | Self::BadRoute { hint, .. } => {
                Some(hint.clone())
            }
            Self::NotInFolder { served, .. } => {
                let served: Vec<String> = served.iter().map(Version::to_string).collect();
                Some(format!(
                    "served are {}; of a folder with several, only the highest is, unless config.pbtxt says \
                     version_policy {{ all {{ }} }}",
                    served.join(", ")
                ))
            }
            Self::LeftAlone { hint, .. } | Self::Unwritable { hint, .. } => hint.clone(),
            Self::ModelConfig { hint, .. } => hint.clone(),
            Self::NoPipeline { .. } => Some("send nested number arrays, or use the route …/infer".to_owned()),
            Self::DrawsNothing { .. } => Some(
                "send rows, in \"instances\" or \"input\"; samples are drawn by a model trained here whose output has \
                 the kind \"anomaly\" and whose network has one layer gaussian_sample"
                    .to_owned(),
            ),
            Self::Rows(source) | Self::Pipeline { source, .. } => source.hint(),
            Self::Run { source, .. } | Self::NoSequences { source, .. } => source.hint(),
            Self::Load { source, .. } => source.hint(),
            Self::Generation(error) => error.hint(),
            Self::Step { cause, .. } => cause.hint(),
            Self::SequenceScattered => Some("take scatter_rows out of the step".to_owned()),
            Self::SequenceSwitched => Some(
                "have an output take from it beside the switch, so that it runs with every request".to_owned(),
            ),
            Self::SequenceLost { .. } => Some("begin it anew by sequence_start".to_owned()),
            Self::TooManyHops { .. } => Some(
                "graphs of these servers lead back to each other: look at the servers of their steps".to_owned(),
            ),
            Self::ServersRest => {
                Some("look whether they run; one request tries again each second".to_owned())
            }
            Self::Registry(source) => source.hint(),
            _ => None,
        }
    }
}
