//! The served models by name: which version answers, and how a new one takes over without a failed request.
//!
//! A request that names no version is answered by the alias `live`; where a model has no such alias yet, by
//! its newest version that passed its gates. Other aliases and numbers are loaded when first asked for.

mod control;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use modelyard_registry::{ModelVersion, Registry};
use modelyard_runtime::Runtimes;
use modelyard_types::{
    Alias, Clock, Deadline, ErrorKind, InferRequest, InferResponse, ModelName, Version, VersionSelector,
};
use tokio::sync::{Mutex as AsyncMutex, Notify};

use crate::config::ServeConfig;
use crate::error::ServeError;
use crate::telemetry::Telemetry;
use crate::version::{Loader, ServedVersion};

pub use control::IndexEntry;

/// How long a version that failed to load is left alone before it is tried again, while nothing changes.
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// A name less like any served one than this is not suggested.
const LIKENESS_MIN: f64 = 0.7;

/// What one model has to offer now.
#[derive(Clone, Default)]
struct Route {
    aliases: BTreeMap<Alias, Version>,
    versions: Vec<Version>,
    /// The version that should answer by default.
    wanted: Option<Version>,
    /// The version that does.
    live: Option<Arc<ServedVersion>>,
    problem: Option<String>,
    /// Whether a client took it out of memory.
    unloaded: bool,
}

type Routes = BTreeMap<ModelName, Route>;

/// One served model, for listings, readiness and the page.
#[derive(Clone)]
pub struct ModelStatus {
    /// The model.
    pub name: ModelName,
    /// All registered versions, oldest first.
    pub versions: Vec<Version>,
    /// The aliases and what they point at.
    pub aliases: BTreeMap<Alias, Version>,
    /// The version that answers by default; none where none could be loaded.
    pub live: Option<Arc<ServedVersion>>,
    /// Why the version that should answer does not, in a sentence that is safe to show.
    pub problem: Option<String>,
}

/// What was last seen of the registry.
#[derive(Default)]
struct Seen {
    revision: Option<u64>,
    retry_at: Option<Instant>,
}

/// The served models of one registry.
pub struct Server {
    registry: Registry,
    loader: Arc<Loader>,
    only: Option<Vec<ModelName>>,
    routes: RwLock<Arc<Routes>>,
    /// Versions loaded because a request named them, least recently used first.
    on_demand: Mutex<Vec<Arc<ServedVersion>>>,
    /// The models that a client took out of memory.
    unloaded: Mutex<BTreeSet<ModelName>>,
    /// Held while a version is loaded on demand, so that each is loaded once and one after the other.
    loading: AsyncMutex<()>,
    seen: AsyncMutex<Seen>,
    draining: AtomicBool,
    in_flight: AtomicUsize,
    idle: Notify,
}

impl Server {
    /// Loads the default version of every registered model, or of those named.
    ///
    /// A model whose version cannot be loaded does not keep the others from being served; see
    /// [`Server::models`].
    ///
    /// # Errors
    /// Where the registry cannot be read, or a model named is not in it.
    pub async fn start(
        registry: Registry,
        runtimes: Arc<Runtimes>,
        config: ServeConfig,
        clock: Arc<dyn Clock>,
        only: Option<Vec<ModelName>>,
    ) -> Result<Arc<Self>, ServeError> {
        let loader = Loader { runtimes, config, clock, telemetry: Telemetry::new() };
        let server = Arc::new(Self {
            registry,
            loader: Arc::new(loader),
            only,
            routes: RwLock::default(),
            on_demand: Mutex::default(),
            unloaded: Mutex::default(),
            loading: AsyncMutex::default(),
            seen: AsyncMutex::default(),
            draining: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            idle: Notify::new(),
        });
        server.refresh().await?;
        for name in server.only.iter().flatten() {
            if !server.routes().contains_key(name) {
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
        let opened = self.find(model, selector).await;
        opened.inspect_err(|error| self.count_failure(error.kind()))
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
        let status = |(name, route): (&ModelName, &Route)| ModelStatus {
            name: name.clone(),
            versions: route.versions.clone(),
            aliases: route.aliases.clone(),
            live: route.live.clone(),
            problem: route.problem.clone(),
        };
        self.routes().iter().map(status).collect()
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
        !self.is_draining() && self.routes().values().all(|route| route.live.is_some() || route.unloaded)
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

    /// Looks whether the registry changed, and if so loads what should serve now beside what does, then
    /// switches. Requests in flight end on the version they began with, which is dropped after the last.
    ///
    /// # Errors
    /// Where the registry cannot be read; what is served stays as it is.
    pub async fn refresh(&self) -> Result<(), ServeError> {
        let mut seen = self.seen.lock().await;
        let revision = self.registry.revision().await?;
        let retry = seen.retry_at.is_some_and(|at| at <= self.now());
        if seen.revision == Some(revision) && !retry {
            return Ok(());
        }
        self.renew(&mut seen, revision).await
    }

    /// As [`Server::refresh`], whether the registry changed or not.
    async fn refresh_now(&self) -> Result<(), ServeError> {
        let mut seen = self.seen.lock().await;
        let revision = self.registry.revision().await?;
        self.renew(&mut seen, revision).await
    }

    async fn renew(&self, seen: &mut Seen, revision: u64) -> Result<(), ServeError> {
        let old = self.routes();
        let mut routes = Routes::new();
        for summary in self.registry.models().await? {
            if self.only.as_ref().is_some_and(|only| !only.contains(&summary.name)) {
                continue;
            }
            let aliases = summary.aliases.into_iter().collect();
            let route = self.route(&summary.name, aliases, old.get(&summary.name)).await?;
            routes.insert(summary.name, route);
        }
        let failed = routes.values().any(|route| route.problem.is_some() && route.wanted.is_some());
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
        seen.revision = Some(revision);
        seen.retry_at = failed.then(|| self.now() + RETRY_AFTER);
        Ok(())
    }

    /// Refreshes at the configured interval until the server drains.
    pub async fn watch(&self) {
        while !self.is_draining() {
            tokio::time::sleep(self.config().refresh_interval).await;
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

    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn route(
        &self,
        name: &ModelName,
        aliases: BTreeMap<Alias, Version>,
        old: Option<&Route>,
    ) -> Result<Route, ServeError> {
        let mut records = self.registry.versions(name).await?;
        records.sort_by_key(|record| record.version);
        let wanted = default_version(&aliases, &records);
        let mut route = Route {
            aliases,
            versions: records.iter().map(|record| record.version).collect(),
            wanted: wanted.map(|record| record.version),
            live: old.and_then(|route| route.live.clone()),
            problem: None,
            unloaded: self.unloaded.lock().unwrap_or_else(PoisonError::into_inner).contains(name),
        };
        if route.unloaded {
            route.problem = Some(ServeError::Unloaded { model: name.clone() }.to_string());
            (route.live, route.wanted) = (None, None);
            return Ok(route);
        }
        let Some(record) = wanted else {
            let hint = ServeError::NothingToServe { model: name.clone() };
            route.problem = Some(format!("{hint}: {}", hint.hint().unwrap_or_default()));
            route.live = None;
            return Ok(route);
        };
        if route.live.as_ref().is_some_and(|live| live.version() == record.version) {
            return Ok(route);
        }
        match self.fetch(record).await {
            Ok(version) => {
                let was = route.live.as_ref().map(|live| live.version().get());
                tracing::info!(model = %name, version = record.version.get(), was, "a version serves now");
                route.live = Some(version);
            }
            Err(error) => {
                let kept = route.live.as_ref().map(|live| live.version().get());
                let source = &error as &dyn std::error::Error;
                tracing::error!(model = %name, version = record.version.get(), kept, error = source,
                    "a version that should serve cannot be loaded");
                route.problem = Some(error.to_string());
            }
        }
        Ok(route)
    }

    async fn find(
        &self,
        model: &str,
        selector: Option<&VersionSelector>,
    ) -> Result<Arc<ServedVersion>, ServeError> {
        let routes = self.routes();
        let (name, route) = self.served(&routes, model)?;
        if route.unloaded {
            return Err(ServeError::Unloaded { model: name.clone() });
        }
        let number = match selector {
            None => return live(name, route),
            Some(VersionSelector::Alias(alias)) => route.aliases.get(alias).copied(),
            Some(VersionSelector::Number(number)) => Some(*number),
        };
        let unknown = |selector: &VersionSelector| ServeError::UnknownVersion {
            model: name.clone(),
            selector: selector.clone(),
        };
        let Some(number) = number else {
            return Err(unknown(selector.expect("none returned above")));
        };
        if let Some(version) = route.live.as_ref().filter(|live| live.version() == number) {
            return Ok(Arc::clone(version));
        }
        if let Some(version) = self.recall(name, number) {
            return Ok(version);
        }
        let _one = self.loading.lock().await;
        if let Some(version) = self.recall(name, number) {
            return Ok(version);
        }
        let selector = VersionSelector::Number(number);
        let record = self.registry.find(name, &selector).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => unknown(&selector),
            _ => error.into(),
        })?;
        let version = self.fetch(&record).await?;
        self.remember(&version);
        Ok(version)
    }

    /// Reads and loads a version.
    async fn fetch(&self, record: &ModelVersion) -> Result<Arc<ServedVersion>, ServeError> {
        if let Some(version) = self.recall(&record.name, record.version) {
            return Ok(version);
        }
        let files = self.registry.load(record).await?;
        let (loader, record) = (Arc::clone(&self.loader), record.clone());
        let (model, version) = (record.name.clone(), record.version);
        let loaded = tokio::task::spawn_blocking(move || loader.load(&record, &files)).await;
        let loaded = loaded.map_err(|_| ServeError::BadVersion {
            model,
            version,
            what: "loading it panicked".to_owned(),
        })??;
        Ok(Arc::new(loaded))
    }

    fn recall(&self, model: &ModelName, number: Version) -> Option<Arc<ServedVersion>> {
        let mut kept = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|v| v.version() == number && v.model() == model)?;
        let version = kept.remove(at);
        kept.push(Arc::clone(&version));
        Some(version)
    }

    fn remember(&self, version: &Arc<ServedVersion>) {
        let mut kept = self.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(Arc::clone(version));
        let too_many = kept.len().saturating_sub(self.config().versions_on_demand_max.max(1));
        kept.drain(..too_many);
    }

    fn unknown_model(&self, name: &str) -> ServeError {
        let routes = self.routes();
        let nearest = routes
            .keys()
            .map(|known| (strsim::jaro_winkler(name, known.as_str()), known))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, known)| known.to_string());
        ServeError::UnknownModel { name: name.chars().take(80).collect(), nearest }
    }
}

fn live(name: &ModelName, route: &Route) -> Result<Arc<ServedVersion>, ServeError> {
    match (&route.live, route.wanted) {
        (Some(version), _) => Ok(Arc::clone(version)),
        (None, Some(version)) => Err(ServeError::NotLoaded { model: name.clone(), version }),
        (None, None) => Err(ServeError::NothingToServe { model: name.clone() }),
    }
}

/// The version that the alias `live` names, else the newest that passed its gates.
fn default_version<'a>(
    aliases: &BTreeMap<Alias, Version>,
    records: &'a [ModelVersion],
) -> Option<&'a ModelVersion> {
    match aliases.get(&Alias::live()) {
        Some(number) => records.iter().find(|record| record.version == *number),
        None => records.iter().rev().find(|record| record.gates_passed),
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
