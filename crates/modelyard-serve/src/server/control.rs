//! What is loaded, and loading and unloading whole models on a client's word.

use std::sync::Arc;
use std::sync::PoisonError;

use modelyard_types::{ModelName, Version};

use super::Server;
use super::offer::{Offer, Offers};
use crate::error::ServeError;
use crate::settings::ModelSettings;
use crate::source::read_config_override;
use crate::version::ServedVersion;

/// One version of one model in the list of what there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The model.
    pub model: ModelName,
    /// The version; none where the model has none.
    pub version: Option<Version>,
    /// Whether it is in memory and answers.
    pub ready: bool,
    /// Why not, in a sentence that is safe to show.
    pub reason: Option<String>,
}

impl Server {
    /// Every version of every served model, and whether it is loaded.
    pub fn index(&self) -> Vec<IndexEntry> {
        let loaded = self.loaded();
        let mut entries = Vec::new();
        for (name, offer) in self.offers().iter() {
            let entry = |version: Option<Version>, reason: Option<String>| IndexEntry {
                model: name.clone(),
                version,
                ready: reason.is_none(),
                reason,
            };
            if offer.versions.is_empty() {
                let none = || "it has no version".to_owned();
                entries.push(entry(None, Some(offer.problem.clone().unwrap_or_else(none))));
            }
            for version in offer.versions.iter().map(|version| version.version) {
                let is_loaded = loaded.iter().any(|v| v.version() == version && v.model() == name);
                let reason = match is_loaded {
                    true => None,
                    false if offer.unloaded => Some(ServeError::Unloaded { model: name.clone() }.to_string()),
                    false if offer.wanted == Some(version) => offer.problem.clone(),
                    false => None,
                };
                let idle = || "not in memory; a request that names it loads it".to_owned();
                entries.push(entry(Some(version), (!is_loaded).then(|| reason.unwrap_or_else(idle))));
            }
        }
        entries
    }

    /// Every version in memory, by model and number.
    pub fn loaded(&self) -> Vec<Arc<ServedVersion>> {
        let mut all = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for offer in self.offers().values() {
            all.extend(offer.held().cloned());
        }
        all.sort_by(|a, b| (a.model(), a.version()).cmp(&(b.model(), b.version())));
        all.dedup_by(|a, b| Arc::ptr_eq(a, b));
        all
    }

    /// Loads what should answer for a model now, whether it was unloaded before or only changed; by a client's
    /// own configuration, Triton's fields as JSON, where there is one.
    ///
    /// # Errors
    /// A model that is not in the registry, or whose version cannot be loaded; a configuration that cannot be
    /// followed.
    pub async fn load(&self, model: &str, config: Option<&str>) -> Result<(), ServeError> {
        let settings = config.map(|json| read_config_override(model, json)).transpose()?;
        let name: ModelName = model.parse().map_err(|_| self.unknown_model(model))?;
        if settings.is_some() && self.is_graph(&name) {
            return Err(ServeError::BadOverride {
                what: "it is a graph of models".to_owned(),
                hint: "send configurations to the models that are its steps".to_owned(),
            });
        }
        let before = self.order(&name, settings);
        self.unloaded.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let done = self.refresh_now().await.and_then(|()| self.is_loaded(model));
        if done.is_err() {
            // What serves goes on as it did.
            self.order(&name, before);
            self.refresh_now().await?;
        }
        done
    }

    fn is_graph(&self, name: &ModelName) -> bool {
        let offers = self.offers();
        let live = offers.get(name).and_then(|offer| offer.live.as_ref());
        live.is_some_and(|version| version.graph().is_some())
    }

    /// Whether what should answer for a model does, or will when it is asked.
    fn is_loaded(&self, model: &str) -> Result<(), ServeError> {
        let offers = self.offers();
        let (name, offer) = self.served(&offers, model)?;
        match &offer.problem {
            Some(what) if offer.live.is_some() => {
                Err(ServeError::Unservable { model: name.clone(), what: what.clone() })
            }
            _ if offer.asleep => Ok(()),
            _ => offer.live(name).map(drop),
        }
    }

    /// Writes down how a client wants a model to be served, or that none does any more; gives what was so before.
    fn order(&self, name: &ModelName, settings: Option<ModelSettings>) -> Option<ModelSettings> {
        let mut overrides = self.overrides.lock().unwrap_or_else(PoisonError::into_inner);
        match settings {
            Some(settings) => overrides.insert(name.clone(), settings),
            None => overrides.remove(name),
        }
    }

    /// Takes every version of a model out of memory and refuses its requests until it is loaded again.
    /// Requests in flight are answered.
    ///
    /// # Errors
    /// A model that is not served.
    pub async fn unload(&self, model: &str) -> Result<(), ServeError> {
        let offers = self.offers();
        let (name, _) = self.served(&offers, model)?;
        self.unloaded.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        self.refresh_now().await?;
        self.keep_on_demand(|kept| kept.model() != name);
        let forgotten =
            self.sequences().forget(|model, sequence| model == name || sequence.has_step_of(name));
        drop(forgotten);
        Ok(())
    }

    pub(super) fn served<'o>(
        &self,
        offers: &'o Offers,
        model: &str,
    ) -> Result<(&'o ModelName, &'o Offer), ServeError> {
        let found = offers.get_key_value(model);
        found.ok_or_else(|| self.unknown_model(model))
    }
}
