//! The memory budget: who was asked longest ago makes room, and is loaded again when it is asked.
//!
//! A version counts with the size of its network's file from the moment it is loaded until its last request
//! ended. Versions with requests in flight or live sequences, and those of a model with a route, are never put to
//! sleep. What is remembered of sequences counts, too.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use modelyard_types::ModelName;

use super::Server;
use super::offer::Offer;
use crate::error::ServeError;
use crate::telemetry::HeldSequence;
use crate::version::{ServedVersion, Wanted};

/// Every version that is in memory, whoever holds it.
#[derive(Default)]
pub(super) struct Residents {
    all: Mutex<Vec<Weak<ServedVersion>>>,
    turns: AtomicU64,
}

impl Residents {
    fn bytes(&self) -> u64 {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|version| version.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).map(|version| version.source().bytes).sum()
    }
}

impl Server {
    /// Bytes of all networks that are in memory, by the sizes of their files.
    pub fn loaded_bytes(&self) -> u64 {
        self.residents.bytes()
    }

    /// Whether so many bytes fit without anybody making room; a network that never can is to be told so.
    pub(super) fn must_wait(&self, bytes: u64) -> bool {
        let budget = self.config().memory_budget_bytes;
        budget.is_some_and(|budget| bytes <= budget && self.held_bytes().saturating_add(bytes) > budget)
    }

    /// Bytes that count in the budget.
    fn held_bytes(&self) -> u64 {
        self.loaded_bytes().saturating_add(self.loader.telemetry.sequence_bytes())
    }

    /// Counts a version from now on.
    pub(super) fn count_resident(&self, version: &Arc<ServedVersion>) {
        let mut all = self.residents.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::downgrade(version));
        drop(all);
        self.touch(version);
    }

    /// Notes that a version was asked.
    pub(super) fn touch(&self, version: &ServedVersion) {
        if self.config().memory_budget_bytes.is_some() {
            version.touch(self.residents.turns.fetch_add(1, Ordering::Relaxed));
        }
    }

    /// Puts others to sleep until a version fits.
    ///
    /// # Errors
    /// [`ServeError::NoRoom`] where it is larger than the budget, or everybody else is busy.
    pub(super) fn make_room(&self, wanted: &Wanted) -> Result<(), ServeError> {
        let bytes = wanted.source.bytes;
        self.free(bytes, Some(&wanted.model)).map_err(|budget| {
            let (model, version) = (wanted.model.clone(), wanted.source.version);
            ServeError::NoRoom { model, version, bytes, budget }
        })
    }

    /// Room for what is remembered of a sequence that begins.
    ///
    /// # Errors
    /// [`ServeError::SequenceNoRoom`] where nobody can be put to sleep for it.
    pub(super) fn room_for_past(&self, model: &ModelName, bytes: u64) -> Result<HeldSequence, ServeError> {
        // Counted before it is looked for, so that two that begin at once do not take the same room.
        let held = self.loader.telemetry.hold_sequence(bytes);
        let refused = |budget| ServeError::SequenceNoRoom { model: model.clone(), bytes, budget };
        let pasts = self.loader.telemetry.sequence_bytes();
        if let Some(budget) = self.config().memory_budget_bytes.filter(|&budget| pasts > budget) {
            // Nobody else is to sleep for what cannot fit.
            return Err(refused(budget));
        }
        self.free(0, None).map_err(refused)?;
        Ok(held)
    }

    /// Counts what is remembered of a sequence anew. Where it grew beyond the budget others are put to sleep as far
    /// as that can be: what was answered is not taken back.
    pub(super) fn resize_past(&self, held: &mut HeldSequence, bytes: u64) {
        let grew = bytes > held.bytes();
        held.resize(bytes);
        if grew && let Err(budget) = self.free(0, None) {
            tracing::warn!(budget, "what is remembered of sequences passes the memory budget");
        }
    }

    /// Puts others to sleep until so many bytes fit.
    ///
    /// # Errors
    /// The budget, where they do not.
    fn free(&self, bytes: u64, except: Option<&ModelName>) -> Result<(), u64> {
        let Some(budget) = self.config().memory_budget_bytes else { return Ok(()) };
        let mut held = self.held_bytes();
        while held.saturating_add(bytes) > budget {
            // What is put to sleep may still be held for a moment, so it is taken off here.
            let freed = if bytes <= budget { self.sleep_one(except) } else { None };
            held = held.saturating_sub(freed.ok_or(budget)?);
        }
        Ok(())
    }

    /// Puts the version that was asked longest ago to sleep, of those that nobody waits for; gives its bytes.
    fn sleep_one(&self, except: Option<&ModelName>) -> Option<u64> {
        let mut kept = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        let mut offers = self.offers.write().unwrap_or_else(PoisonError::into_inner);
        // Each is held once by whoever offers it; who holds more is at work.
        let idle = |version: &&Arc<ServedVersion>| Arc::strong_count(version) == 1;
        let named = kept.iter().filter(idle).min_by_key(|version| version.used());
        let named = named.map(|version| (version.used(), None, version.source().bytes));
        let by_default =
            offers.iter().filter(|(name, offer)| offer.rollout.is_none() && Some(*name) != except);
        let by_default = by_default.filter_map(|(name, offer)| {
            // A graph takes no room of its own.
            let version = offer.live.as_ref().filter(idle).filter(|version| version.graph().is_none())?;
            Some((version.used(), Some(name.clone()), version.source().bytes))
        });
        let (used, name, bytes) = by_default.chain(named).min_by_key(|(used, ..)| *used)?;
        match name {
            Some(name) => {
                tracing::info!(model = %name, bytes, "a model sleeps until it is asked again");
                let offer = Arc::make_mut(&mut offers).get_mut(&name)?;
                (offer.live, offer.asleep) = (None, true);
            }
            None => kept.retain(|version| version.used() != used),
        }
        self.loader.telemetry.put_to_sleep();
        Some(bytes)
    }

    /// Loads the default version of a model that sleeps.
    pub(super) async fn wake(&self, name: &ModelName) -> Result<Arc<ServedVersion>, ServeError> {
        let _one = self.loading.lock().await;
        let wanted = {
            let offers = self.offers();
            let (_, offer) = self.served(&offers, name.as_str())?;
            let source = offer.versions.iter().find(|version| Some(version.version) == offer.wanted);
            let Some(source) = source.filter(|_| offer.asleep) else { return offer.live(name) };
            Wanted { model: name.clone(), source: *source, settings: Arc::clone(&offer.settings) }
        };
        let source = wanted.source;
        let version = self.fetch_for_request(wanted).await?;
        let mut offers = self.offers.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(offer) = Arc::make_mut(&mut offers).get_mut(name)
            && offer.asleep
            && offer.wanted == Some(source.version)
        {
            (offer.live, offer.asleep) = (Some(Arc::clone(&version)), false);
        }
        drop(offers);
        self.keep_on_demand(|kept| !std::ptr::eq(kept, Arc::as_ptr(&version)));
        Ok(version)
    }

    /// Puts what a model has to offer in the place of what it had.
    pub(super) fn install(&self, name: ModelName, offer: Offer) {
        let held: Vec<Arc<ServedVersion>> = offer.held().cloned().collect();
        let mut offers = self.offers.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut offers).insert(name, offer);
        drop(offers);
        self.keep_on_demand(|kept| !held.iter().any(|version| std::ptr::eq(kept, Arc::as_ptr(version))));
    }

    /// Forgets all models but these.
    pub(super) fn keep_models(&self, names: &BTreeSet<ModelName>) {
        let mut offers = self.offers.write().unwrap_or_else(PoisonError::into_inner);
        if offers.len() > names.len() {
            Arc::make_mut(&mut offers).retain(|name, _| names.contains(name));
        }
    }
}
