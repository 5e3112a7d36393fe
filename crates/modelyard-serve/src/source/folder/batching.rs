//! `dynamic_batching`, and the strategies of `sequence_batching`: how requests to a model become batches.

use std::time::Duration;

use super::fields::Refusal;
use super::text::Field;
use crate::settings::ModelSettings;

/// Most rows of a batch, or of anything else that is counted in a configuration.
pub(super) const COUNT_MAX: usize = 1 << 20;
/// A minute: whoever waits has given up.
const DELAY_MICROS_MAX: u64 = 60_000_000;

/// Reads `dynamic_batching`.
///
/// # Errors
/// What is not understood or not supported.
pub(super) fn dynamic(field: &Field, settings: &mut ModelSettings) -> Result<(), Refusal> {
    batches(field, settings, |inner| match inner.name.as_str() {
        "priority_levels" | "default_priority_level" => Err(inner
            .unsupported("requests name a priority from 1 to 255 themselves; those that do not have 100")),
        "default_queue_policy" | "priority_queue_policy" => {
            Err(inner.unsupported("--queue-rows-max and --deadline-ms bound the queue"))
        }
        _ => Ok(false),
    })
}

/// Reads `oldest` of `sequence_batching`. A network keeps nothing itself, so no sequence needs a place of its own in
/// batches: requests of different sequences share them as they come.
///
/// # Errors
/// As [`dynamic`].
pub(super) fn oldest(field: &Field, settings: &mut ModelSettings) -> Result<(), Refusal> {
    batches(field, settings, |inner| match inner.name.as_str() {
        // How many there are at once is the server's to say; none waits for a place.
        "max_candidate_sequences" => inner.number(1, i32::MAX).map(|_| true),
        _ => Ok(false),
    })
}

/// Reads `direct` of `sequence_batching`, which comes to the same as [`oldest`].
///
/// # Errors
/// As [`dynamic`].
pub(super) fn direct(field: &Field, settings: &mut ModelSettings) -> Result<(), Refusal> {
    field.message()?.each("direct", |inner| {
        match inner.name.as_str() {
            "max_queue_delay_microseconds" => settings.batch_delay = Some(delay(inner)?),
            "minimum_slot_utilization" => {
                let share: Option<f32> = inner.word()?.parse().ok();
                if share != Some(0.0) {
                    return Err(inner.unsupported("batches have no slots: say max_queue_delay_microseconds"));
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// What batches are told alike; the rest is for `own`.
fn batches(
    field: &Field,
    settings: &mut ModelSettings,
    own: impl Fn(&Field) -> Result<bool, Refusal>,
) -> Result<(), Refusal> {
    let mut preferred = Vec::new();
    field.message()?.each(&field.name, |inner| {
        match inner.name.as_str() {
            "preferred_batch_size" => preferred.push(inner.number(1, COUNT_MAX)?),
            "max_queue_delay_microseconds" => settings.batch_delay = Some(delay(inner)?),
            "preserve_ordering" => inner.must_be_false("each answer goes to its own request")?,
            _ => return own(inner),
        }
        Ok(true)
    })?;
    preferred.sort_unstable();
    settings.preferred_rows = Some(preferred);
    Ok(())
}

fn delay(field: &Field) -> Result<Duration, Refusal> {
    Ok(Duration::from_micros(field.number(0, DELAY_MICROS_MAX)?))
}
