//! What each model has to offer: found anew whenever the source changed, loaded beside what serves, then
//! switched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use modelyard_registry::RouteChange;
use modelyard_types::{Alias, ModelName, Version};

use super::{RETRY_AFTER, Server};
use crate::error::ServeError;
use crate::rollout::{self, Arms, Rollout};
use crate::settings::ModelSettings;
use crate::source::{SourceModel, SourceVersion};
use crate::version::{ServedVersion, Wanted};

/// What one model has to offer now.
#[derive(Clone, Default)]
pub(super) struct Offer {
    pub(super) aliases: BTreeMap<Alias, Version>,
    /// Oldest first.
    pub(super) versions: Vec<SourceVersion>,
    pub(super) settings: Arc<ModelSettings>,
    /// The version that should answer by default.
    pub(super) wanted: Option<Version>,
    /// The version that does.
    pub(super) live: Option<Arc<ServedVersion>>,
    pub(super) problem: Option<String>,
    /// Its route, where it has one.
    pub(super) rollout: Option<Arc<Rollout>>,
    /// Whether the version that should answer is loaded once it is asked.
    pub(super) asleep: bool,
    /// Whether a client took it out of memory.
    pub(super) unloaded: bool,
}

pub(super) type Offers = BTreeMap<ModelName, Offer>;

/// What was last seen of the source.
#[derive(Default)]
pub(super) struct Seen {
    revision: Option<u64>,
    retry_at: Option<Instant>,
}

impl Offer {
    /// Whether the source still has this version as it was loaded.
    pub(super) fn has(&self, loaded: &ServedVersion) -> bool {
        self.versions.iter().any(|version| loaded.is(version, &self.settings))
    }

    /// Whether the versions of a route are still what the source has, and none that it lacks has come.
    fn suits(&self, rollout: &Rollout) -> bool {
        let has_come = rollout.missing().is_some_and(|missing| self.knows(missing));
        !has_come && rollout.versions().all(|version| self.has(version))
    }

    fn knows(&self, number: Version) -> bool {
        self.versions.iter().any(|version| version.version == number)
    }

    /// Every version that is in memory for requests that name none.
    pub(super) fn held(&self) -> impl Iterator<Item = &Arc<ServedVersion>> {
        self.live.iter().chain(self.rollout.iter().flat_map(|rollout| rollout.versions()))
    }

    /// The one of this number.
    pub(super) fn in_memory(&self, number: Version) -> Option<&Arc<ServedVersion>> {
        self.held().find(|version| version.version() == number)
    }

    /// Whether it has versions, and none of them may answer.
    fn waits_for_gates(&self) -> bool {
        !self.versions.is_empty() && self.versions.iter().all(|version| !version.may_answer)
    }

    /// The version that answers by default.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn live(&self, name: &ModelName) -> Result<Arc<ServedVersion>, ServeError> {
        let model = || name.clone();
        match (&self.live, self.wanted, &self.problem) {
            (Some(version), ..) => Ok(Arc::clone(version)),
            (None, Some(version), _) => Err(ServeError::NotLoaded { model: model(), version }),
            (None, None, Some(problem)) if !self.waits_for_gates() => {
                Err(ServeError::Unservable { model: model(), what: problem.clone() })
            }
            (None, None, _) => Err(ServeError::NothingToServe { model: model() }),
        }
    }
}

impl Server {
    /// Looks whether the source changed, and if so loads what should serve now beside what does, then
    /// switches. Requests in flight end on the version they began with, which is dropped after the last.
    ///
    /// # Errors
    /// Where the source cannot be read; what is served stays as it is.
    pub async fn refresh(&self) -> Result<(), ServeError> {
        self.withdraw_canaries().await;
        let mut seen = self.seen.lock().await;
        let revision = self.source.revision().await?;
        let retry = seen.retry_at.is_some_and(|at| at <= self.now());
        if seen.revision == Some(revision) && !retry {
            return Ok(());
        }
        self.renew(&mut seen, revision).await
    }

    /// As [`Server::refresh`], whether the source changed or not.
    pub(super) async fn refresh_now(&self) -> Result<(), ServeError> {
        let mut seen = self.seen.lock().await;
        let revision = self.source.revision().await?;
        self.renew(&mut seen, revision).await
    }

    async fn renew(&self, seen: &mut Seen, revision: u64) -> Result<(), ServeError> {
        let mut names = BTreeSet::new();
        let mut failed = false;
        for model in self.source.models(self.only.as_deref()).await? {
            let name = model.name.clone();
            // Files that are repaired do not change the source's revision.
            let is_damaged = model.problem.is_some();
            let old = self.offers().get(&name).cloned();
            let offer = self.offer(model, old.as_ref()).await;
            let may_get_better = offer.wanted.is_some() || is_damaged;
            failed |= offer.problem.is_some() && may_get_better && !offer.unloaded;
            self.install(name.clone(), offer);
            names.insert(name);
        }
        self.keep_models(&names);
        let offers = self.offers();
        self.keep_on_demand(|version| offers.get(version.model()).is_some_and(|offer| offer.has(version)));
        seen.revision = Some(revision);
        seen.retry_at = failed.then(|| self.now() + RETRY_AFTER);
        Ok(())
    }

    async fn offer(&self, model: SourceModel, old: Option<&Offer>) -> Offer {
        let SourceModel { name, aliases, versions, settings, route, graph, problem } = model;
        let ordered = self.overrides.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        let own = self.config().models.get(&name).cloned().unwrap_or_default();
        let own = own.over(ordered.unwrap_or_default());
        let mut offer = Offer {
            aliases,
            versions,
            settings: Arc::new(own.over(settings)),
            wanted: None,
            live: old.and_then(|offer| offer.live.clone()),
            problem: None,
            rollout: None,
            asleep: false,
            unloaded: self.unloaded.lock().unwrap_or_else(PoisonError::into_inner).contains(&name),
        };
        if offer.unloaded {
            offer.problem = Some(ServeError::Unloaded { model: name }.to_string());
            offer.live = None;
        } else if let Some(problem) = problem {
            // What was loaded before goes on serving until its files are in order again.
            tracing::error!(model = %name, problem, "a model's files do not let it be served");
            offer.problem = Some(problem);
            let in_force = |kept: &Arc<Rollout>| route.is_some_and(|route| route.id == kept.change());
            offer.rollout = old.and_then(|old| old.rollout.clone()).filter(in_force);
        } else if let Some(graph) = graph {
            self.join(&name, &mut offer, graph);
        } else if let Some(wanted) = default_version(&offer.aliases, &offer.versions) {
            offer.wanted = Some(wanted.version);
            // A model with a route is kept awake.
            offer.asleep = route.is_none() && offer.live.is_none() && self.may_sleep(old, wanted);
            if !offer.asleep {
                self.go_live(&name, &mut offer, wanted).await;
                offer.rollout = self.rollout(&name, &offer, route, old).await;
            }
        } else {
            let error = ServeError::NothingToServe { model: name };
            offer.problem = Some(format!("{error}: {}", error.hint().unwrap_or_default()));
            offer.live = None;
        }
        offer
    }

    /// Whether a version that is not loaded can wait until it is asked: because its model sleeps, or is seen for
    /// the first time and others would have to make room.
    fn may_sleep(&self, old: Option<&Offer>, wanted: SourceVersion) -> bool {
        match old {
            Some(old) => old.asleep,
            None => self.must_wait(wanted.bytes),
        }
    }

    /// Loads the version that should answer, unless it does.
    async fn go_live(&self, name: &ModelName, offer: &mut Offer, source: SourceVersion) {
        if offer.live.as_ref().is_some_and(|live| live.is(&source, &offer.settings)) {
            return;
        }
        let wanted = Wanted { model: name.clone(), source, settings: Arc::clone(&offer.settings) };
        let was = offer.live.as_ref().map(|live| live.version().get());
        let version = source.version.get();
        match self.fetch(wanted).await {
            Ok(loaded) => {
                tracing::info!(model = %name, version, was, "a version serves now");
                offer.live = Some(loaded);
            }
            Err(error) => {
                let source = &error as &dyn std::error::Error;
                tracing::error!(model = %name, version, kept = was, error = source,
                    "a version that should serve cannot be loaded");
                offer.problem = Some(error.to_string());
            }
        }
    }

    /// The model's route with its versions loaded; as it was where neither it nor any of its versions changed.
    async fn rollout(
        &self,
        name: &ModelName,
        offer: &Offer,
        route: Option<RouteChange>,
        old: Option<&Offer>,
    ) -> Option<Arc<Rollout>> {
        let (change, live) = (route?, offer.live.as_ref()?);
        let before = old.and_then(|old| old.rollout.as_ref()).filter(|before| before.change() == change.id);
        let was = old.and_then(|old| old.live.as_ref());
        let same_live = was.is_some_and(|was| Arc::ptr_eq(was, live));
        if let Some(before) = before.filter(|before| same_live && offer.suits(before)) {
            return Some(Arc::clone(before));
        }
        let mut arms = Arms::default();
        // Who is the default version already gets every request.
        let others = |version: &Version| *version != live.version();
        if let Some(version) = change.route.canary.as_ref().map(|canary| canary.version).filter(others) {
            let withdrawn = before.and_then(|before| before.withdrawn());
            arms.canary = Some(match withdrawn {
                Some(why) => Err(why),
                None => self.canary(name, offer, live, version).await,
            });
        }
        if let Some(version) = change.route.shadow.as_ref().map(|shadow| shadow.version).filter(others) {
            arms.shadow = self.arm(name, offer, version).await.ok();
            arms.missing = Some(version).filter(|version| !offer.knows(*version));
        }
        let telemetry = self.loader.telemetry.rollout(name);
        tracing::info!(model = %name, change = change.id, "a route is in force");
        Some(Arc::new(Rollout::new(name, change.id, change.route, arms, telemetry)))
    }

    /// A canary, or why it cannot answer in the place of the default version.
    async fn canary(
        &self,
        name: &ModelName,
        offer: &Offer,
        live: &ServedVersion,
        version: Version,
    ) -> Result<Arc<ServedVersion>, String> {
        let canary = self.arm(name, offer, version).await?;
        match rollout::misfit(live, &canary) {
            Some(why) => Err(format!("version {version} was withdrawn: {why}")),
            None => Ok(canary),
        }
    }

    async fn arm(
        &self,
        name: &ModelName,
        offer: &Offer,
        version: Version,
    ) -> Result<Arc<ServedVersion>, String> {
        let missing = || {
            tracing::warn!(model = %name, version = version.get(), "a version of a route is not there");
            format!("version {version} was withdrawn: it is not there")
        };
        let source = offer.versions.iter().find(|known| known.version == version).ok_or_else(missing)?;
        let settings = Arc::clone(&offer.settings);
        let wanted = Wanted { model: name.clone(), source: *source, settings };
        self.fetch(wanted).await.map_err(|error| {
            let source = &error as &dyn std::error::Error;
            tracing::error!(model = %name, version = version.get(), error = source,
                "a version of a route cannot be loaded");
            format!("version {version} was withdrawn: it cannot be loaded")
        })
    }

    /// Writes canaries that passed a limit out of their routes, for every server and for the history.
    async fn withdraw_canaries(&self) {
        for (name, offer) in self.offers().iter() {
            let Some(rollout) = &offer.rollout else { continue };
            let Some(why) = rollout.withdrawn() else { continue };
            // Where it cannot be written it is tried again, and gets no requests meanwhile.
            if let Err(error) = self.source.withdraw(name, rollout.change(), &why).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(model = %name, error, "cannot write down that a canary was withdrawn");
            }
        }
    }

    /// As [`Server::fetch`], unless that failed a moment ago.
    pub(super) async fn fetch_for_request(&self, wanted: Wanted) -> Result<Arc<ServedVersion>, ServeError> {
        self.failures.check(self.now(), &wanted)?;
        let fetched = self.fetch(wanted.clone()).await;
        fetched.inspect_err(|error| self.failures.note(self.now(), wanted, error))
    }

    /// Reads and loads a version, unless a request that named it had it loaded.
    pub(super) async fn fetch(&self, wanted: Wanted) -> Result<Arc<ServedVersion>, ServeError> {
        let (model, source) = (wanted.model.clone(), wanted.source);
        if let Some(version) = self.recall(&wanted) {
            return Ok(version);
        }
        let _one = self.fetching.lock().await;
        self.make_room(&wanted)?;
        let files = self.source.read(&model, source.version).await?;
        let loader = Arc::clone(&self.loader);
        let loaded = tokio::task::spawn_blocking(move || loader.load(wanted, &files)).await;
        let what = "loading it panicked".to_owned();
        let broken = |_| ServeError::BadVersion { model, version: source.version, what };
        let loaded = Arc::new(loaded.map_err(broken)??);
        self.count_resident(&loaded);
        Ok(loaded)
    }

    /// A version that was loaded because a request named it.
    pub(super) fn recall(&self, wanted: &Wanted) -> Option<Arc<ServedVersion>> {
        let is_wanted =
            |v: &Arc<ServedVersion>| v.is(&wanted.source, &wanted.settings) && *v.model() == wanted.model;
        let mut kept = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(is_wanted)?;
        let version = kept.remove(at);
        kept.push(Arc::clone(&version));
        Some(version)
    }

    pub(super) fn remember(&self, version: &Arc<ServedVersion>) {
        let mut kept = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Arc::clone(version));
        let too_many = kept.len().saturating_sub(self.config().versions_on_demand_max.max(1));
        kept.drain(..too_many);
    }

    pub(super) fn keep_on_demand(&self, keep: impl Fn(&ServedVersion) -> bool) {
        self.on_demand.lock().unwrap_or_else(PoisonError::into_inner).retain(|version| keep(version));
    }
}

/// The version that the alias `live` names, else the newest that may answer.
fn default_version(aliases: &BTreeMap<Alias, Version>, versions: &[SourceVersion]) -> Option<SourceVersion> {
    match aliases.get(&Alias::live()) {
        Some(number) => versions.iter().find(|version| version.version == *number).copied(),
        None => versions.iter().rev().find(|version| version.may_answer).copied(),
    }
}
