//! The served models by name: which version answers, and how a new one takes over without a failed request.
//!
//! A request that names no version is answered by the alias `live`; where a model has no such alias yet, by
//! its newest version that passed its gates. Other aliases and numbers are loaded when first asked for.

mod control;
mod failures;
mod graphs;
mod memory;
mod offer;
mod sequences;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant, SystemTime};

use modelyard_runtime::Runtimes;
use modelyard_types::{
    Alias, Clock, Deadline, ErrorKind, InferRequest, InferResponse, ModelName, Version, VersionSelector,
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::config::ServeConfig;
use crate::error::ServeError;
use crate::graph::RemoteModels;
use crate::heap;
use crate::rollout::{Labels, Routed};
use crate::sequence::Sequences;
use crate::settings::ModelSettings;
use crate::source::{ModelSource, SourceVersion};
use crate::telemetry::Telemetry;
use crate::version::{Loader, ServedVersion, Wanted};
use failures::Failures;
use memory::Residents;
use offer::{Offer, Offers, Seen};

pub use control::IndexEntry;
use sequences::Sequence;
pub use sequences::SequenceTurn;

/// How long a version that failed to load is left alone before it is tried again, while nothing changes.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// One served model, for listings, readiness and the page.
#[derive(Clone)]
pub struct ModelStatus {
    /// The model.
    pub name: ModelName,
    /// All registered versions, oldest first.
    pub versions: Vec<Version>,
    /// The aliases and what they point at.
    pub aliases: BTreeMap<Alias, Version>,
    /// The version that answers by default; none where none could be loaded, or it sleeps.
    pub live: Option<Arc<ServedVersion>>,
    /// The version that left memory for others and is loaded when it is asked.
    pub asleep: Option<Version>,
    /// Why the version that should answer does not, in a sentence that is safe to show.
    pub problem: Option<String>,
}

impl ModelStatus {
    /// The version that answers by default, loaded or to be loaded first.
    pub fn answering(&self) -> Option<Version> {
        self.live.as_ref().map(|live| live.version()).or(self.asleep)
    }
}

/// The served models of one source.
pub struct Server {
    /// For graphs, whose steps ask this server; none would let go of it if they held it.
    me: Weak<Self>,
    /// How graphs reach other servers, once somebody said.
    remote: Arc<OnceLock<Arc<dyn RemoteModels>>>,
    source: Box<dyn ModelSource>,
    loader: Arc<Loader>,
    only: Option<Vec<ModelName>>,
    offers: RwLock<Arc<Offers>>,
    /// Versions loaded because a request named them, least recently used first.
    on_demand: Mutex<Vec<Arc<ServedVersion>>>,
    residents: Residents,
    failures: Failures,
    sequences: Mutex<Sequences<Sequence>>,
    /// The models that a client took out of memory.
    unloaded: Mutex<BTreeSet<ModelName>>,
    /// How clients want models to be served that they ordered to be loaded.
    overrides: Mutex<BTreeMap<ModelName, ModelSettings>>,
    /// Held while a version is loaded on demand, so that each is loaded once and one after the other.
    loading: AsyncMutex<()>,
    /// Held while a version is read and loaded, so that each finds the room that the others left.
    fetching: AsyncMutex<()>,
    seen: AsyncMutex<Seen>,
    draining: AtomicBool,
    in_flight: AtomicUsize,
    idle: Notify,
}

impl Server {
    /// Loads the default version of every model of a registry or folder, or of those named.
    ///
    /// A model whose version cannot be loaded does not keep the others from being served; see
    /// [`Server::models`].
    ///
    /// # Errors
    /// Where the source cannot be read, or a model named is not in it.
    pub async fn start(
        source: impl ModelSource + 'static,
        runtimes: Arc<Runtimes>,
        config: ServeConfig,
        clock: Arc<dyn Clock>,
        only: Option<Vec<ModelName>>,
    ) -> Result<Arc<Self>, ServeError> {
        heap::keep_little();
        let sequences = Mutex::new(Sequences::new(config.sequences_max));
        let loader = Loader { runtimes, config, clock, telemetry: Telemetry::new() };
        let server = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            remote: Arc::default(),
            source: Box::new(source),
            loader: Arc::new(loader),
            only,
            offers: RwLock::default(),
            on_demand: Mutex::default(),
            residents: Residents::default(),
            failures: Failures::default(),
            sequences,
            unloaded: Mutex::default(),
            overrides: Mutex::default(),
            loading: AsyncMutex::default(),
            fetching: AsyncMutex::default(),
            seen: AsyncMutex::default(),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
        });
        server.refresh().await?;
        for name in server.only.iter().flatten() {
            if !server.offers().contains_key(name) {
                return Err(server.unknown_model(name.as_str()));
            }
        }
        Ok(server)
    }

    /// The limits in force.
    pub fn config(&self) -> &ServeConfig {
        &self.loader.config
    }

    /// The instant now, by the server's clock.
    pub fn now(&self) -> Instant {
        self.loader.clock.now()
    }

    /// The calendar time, by the server's clock.
    pub fn wall(&self) -> SystemTime {
        self.loader.clock.wall()
    }

    /// The deadline of a request that names none and arrives now.
    pub fn deadline(&self) -> Deadline {
        Deadline(self.now() + self.config().deadline_default)
    }

    /// The deadline of a request that arrives now and gives its answer this long.
    pub fn deadline_in(&self, time: Duration) -> Deadline {
        Deadline(self.now() + time.min(self.config().deadline_max))
    }

    /// The version that answers for this model and selector, loaded now where it has to be.
    ///
    /// # Errors
    /// Where the model or version is unknown or cannot be loaded, or the server is draining.
    pub async fn open(
        &self,
        model: &str,
        selector: Option<&VersionSelector>,
    ) -> Result<Arc<ServedVersion>, ServeError> {
        let opened = self.find(model, selector).await.inspect(|version| self.touch(version));
        opened.inspect_err(|error| self.count_failure(error.kind()))
    }

    /// The version that a model's route chooses for a caller who names none, by what the caller says of
    /// itself; none where the caller names one, or there is no route.
    pub fn choose(
        &self,
        model: &str,
        selector: Option<&VersionSelector>,
        labels: &Labels<'_>,
    ) -> Option<Routed> {
        let offers = self.offers();
        let offer = offers.get(model).filter(|_| selector.is_none())?;
        let (rollout, live) = offer.rollout.as_ref().zip(offer.live.as_ref())?;
        Some(rollout.choose(Arc::clone(live), labels))
    }

    /// The version that was chosen, or else that of [`Server::open`].
    ///
    /// # Errors
    /// As [`Server::open`].
    pub async fn open_chosen(
        &self,
        chosen: Option<Routed>,
        model: &str,
        selector: Option<&VersionSelector>,
    ) -> Result<Routed, ServeError> {
        match chosen {
            Some(chosen) => Ok(chosen),
            None => Ok(self.open(model, selector).await?.into()),
        }
    }

    /// Answers a request with tensors.
    ///
    /// # Errors
    /// As [`Server::open`] and [`ServedVersion::infer`].
    pub async fn infer(&self, request: InferRequest) -> Result<InferResponse, ServeError> {
        let _busy = self.enter()?;
        let version = self.open(request.model.as_str(), request.version.as_ref()).await?;
        let outputs = version.infer(request.inputs, &request.outputs, request.deadline.into()).await?.answer;
        Ok(InferResponse { model: request.model, version: version.version(), outputs })
    }

    /// Keeps [`Server::drain`] waiting until it is dropped: held by whoever answers a request.
    ///
    /// # Errors
    /// [`ServeError::Draining`] once draining began.
    pub fn enter(&self) -> Result<InFlight<'_>, ServeError> {
        // Counted first and looked after, so that a drain that saw no one in flight has refused everyone since.
        let guard = InFlight { server: self };
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        if self.draining.load(Ordering::SeqCst) {
            self.count_failure(ErrorKind::Unavailable);
            return Err(ServeError::Draining);
        }
        Ok(guard)
    }

    /// Counts a request that failed before it reached a model.
    pub fn count_failure(&self, kind: ErrorKind) {
        self.loader.telemetry.failed_unrouted(kind);
    }

    /// Every served model, by name.
    pub fn models(&self) -> Vec<ModelStatus> {
        let status = |(name, offer): (&ModelName, &Offer)| ModelStatus {
            name: name.clone(),
            versions: offer.versions.iter().map(|version| version.version).collect(),
            aliases: offer.aliases.clone(),
            live: offer.live.clone(),
            asleep: offer.wanted.filter(|_| offer.asleep),
            problem: offer.problem.clone(),
        };
        self.offers().iter().map(status).collect()
    }

    /// As [`Server::models`], without those that are served only as steps of graphs: the models named at the start,
    /// or all.
    pub fn models_asked_for(&self) -> Vec<ModelStatus> {
        let mut models = self.models();
        models.retain(|model| self.only.as_ref().is_none_or(|only| only.contains(&model.name)));
        models
    }

    /// The status of one model.
    ///
    /// # Errors
    /// [`ServeError::UnknownModel`].
    pub fn model(&self, name: &str) -> Result<ModelStatus, ServeError> {
        let found = self.models().into_iter().find(|status| status.name.as_str() == name);
        found.ok_or_else(|| self.unknown_model(name))
    }

    /// Whether requests are taken and every model has a version that answers, or was unloaded.
    pub fn is_ready(&self) -> bool {
        !self.is_draining()
            && self.offers().values().all(|offer| offer.live.is_some() || offer.asleep || offer.unloaded)
    }

    /// Whether the server is going down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Whether no request is under way.
    pub fn is_idle(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) == 0
    }

    /// The metrics in Prometheus's text format.
    pub fn telemetry(&self) -> String {
        self.loaded().iter().for_each(|version| version.show_queue());
        self.loader.telemetry.text()
    }

    /// Refreshes, and forgets sequences that nobody goes on with, at the configured interval until the server drains.
    pub async fn watch(&self) {
        while !self.is_draining() {
            tokio::time::sleep(self.config().refresh_interval).await;
            self.expire_sequences();
            if let Err(error) = self.refresh().await {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot look for new versions");
            }
        }
    }

    /// Refuses new requests and waits until those in flight are answered.
    pub async fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        loop {
            let idle = self.idle.notified();
            if self.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }

    fn offers(&self) -> Arc<Offers> {
        Arc::clone(&self.offers.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) async fn find(
        &self,
        model: &str,
        selector: Option<&VersionSelector>,
    ) -> Result<Arc<ServedVersion>, ServeError> {
        let offers = self.offers();
        let (name, offer) = self.served(&offers, model)?;
        if offer.unloaded {
            return Err(ServeError::Unloaded { model: name.clone() });
        }
        let Some(selector) = selector else {
            if offer.asleep {
                let name = name.clone();
                // Kept any longer, it would keep alive what makes room.
                drop(offers);
                return self.wake(&name).await;
            }
            return offer.live(name);
        };
        let name = name.clone();
        let unknown = || ServeError::UnknownVersion { model: name.clone(), selector: selector.clone() };
        let number = match selector {
            VersionSelector::Alias(alias) => offer.aliases.get(alias).copied().ok_or_else(unknown)?,
            VersionSelector::Number(number) => *number,
        };
        if let Some(version) = offer.in_memory(number) {
            return Ok(Arc::clone(version));
        }
        let known = offer.versions.iter().find(|version| version.version == number).copied();
        let settings = Arc::clone(&offer.settings);
        drop(offers);
        let wanted = |source| Wanted { model: name.clone(), source, settings: Arc::clone(&settings) };
        if let Some(version) = known.and_then(|known| self.recall(&wanted(known))) {
            return Ok(version);
        }
        self.load_on_demand(&name, settings, known, number).await?.ok_or_else(unknown)
    }

    /// Loads a version because a request names it; none where the source does not have it.
    async fn load_on_demand(
        &self,
        model: &ModelName,
        settings: Arc<ModelSettings>,
        known: Option<SourceVersion>,
        number: Version,
    ) -> Result<Option<Arc<ServedVersion>>, ServeError> {
        let _one = self.loading.lock().await;
        // It may have been published since the source was last looked at.
        let Some(source) = (match known {
            Some(known) => Some(known),
            None => self.source.find(model, number).await?,
        }) else {
            return Ok(None);
        };
        let wanted = Wanted { model: model.clone(), source, settings };
        if let Some(version) = self.recall(&wanted) {
            return Ok(Some(version));
        }
        let version = self.fetch_for_request(wanted).await?;
        self.remember(&version);
        Ok(Some(version))
    }

    fn unknown_model(&self, name: &str) -> ServeError {
        ServeError::unknown_model(name, self.offers().keys())
    }
}

/// A request that is being answered.
pub struct InFlight<'a> {
    server: &'a Server,
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if self.server.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.server.idle.notify_waiters();
        }
    }
}
