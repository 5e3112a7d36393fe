//! A folder of models together with their routes, which a store keeps: nothing is written into the folder itself.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use modelyard_registry::document::Route;
use modelyard_registry::{Registry, RouteChange};
use modelyard_types::{Alias, ModelName, Version};

use super::ModelFolder;
use crate::error::ServeError;
use crate::source::{Later, ModelSource, SourceFiles, SourceModel, SourceVersion};

/// A folder of models whose routes are kept in a store.
#[derive(Clone, Debug)]
pub struct RoutedFolder {
    folder: ModelFolder,
    routes: Registry,
}

impl ModelFolder {
    /// The folder with the routes that this store keeps for models of these names. A route of a model that the store
    /// registers itself is none of them.
    pub fn with_routes(self, routes: Registry) -> RoutedFolder {
        RoutedFolder { folder: self, routes }
    }

    /// Holds a route against the versions of a model that lie here now and are served.
    ///
    /// # Errors
    /// A model or version that is not there, a canary or shadow that is live, or a folder that cannot be read.
    pub fn check_route(&self, name: &ModelName, route: &Route) -> Result<(), ServeError> {
        let scanned = self.scan()?;
        let found = scanned.iter().find(|found| found.name == *name).ok_or_else(|| {
            let known = scanned.iter().map(|found| &found.name);
            ServeError::unknown_model(name.as_str(), known)
        })?;
        if let Some(problem) = &found.problem {
            return Err(ServeError::Unservable { model: name.clone(), what: problem.clone() });
        }
        let served = || found.versions.keys().copied();
        if let Some(version) = route.versions().find(|version| !found.versions.contains_key(version)) {
            return Err(ServeError::NotInFolder { model: name.clone(), version, served: served().collect() });
        }
        let highest = served().next_back().filter(|_| route.live.is_none());
        match highest.filter(|highest| route.versions().any(|version| version == *highest)) {
            Some(version) => Err(already_live(name, version, served().nth_back(1))),
            None => Ok(()),
        }
    }
}

fn already_live(model: &ModelName, version: Version, below: Option<Version>) -> ServeError {
    ServeError::BadRoute {
        model: model.clone(),
        what: format!("version {version} is live already, as the highest one that is served"),
        hint: match below {
            Some(below) => format!("--live {below} leaves the other requests to version {below}"),
            None => "put another version beside it".to_owned(),
        },
    }
}

impl ModelSource for RoutedFolder {
    fn revision(&self) -> Later<'_, u64> {
        Box::pin(async move {
            let mut hasher = DefaultHasher::new();
            self.folder.revision().await?.hash(&mut hasher);
            self.routes.revision().await?.hash(&mut hasher);
            Ok(hasher.finish())
        })
    }

    fn models<'a>(&'a self, only: Option<&'a [ModelName]>) -> Later<'a, Vec<SourceModel>> {
        Box::pin(async move {
            let mut models = self.folder.models(only).await?;
            let mut routes: BTreeMap<_, _> = self.routes.routes_elsewhere().await?.into_iter().collect();
            for model in &mut models {
                match routes.remove(&model.name) {
                    None => {}
                    Some(Ok(change)) => follow(model, change),
                    Some(Err(error)) => {
                        let problem = error.damage()?;
                        model.problem.get_or_insert(problem);
                    }
                }
            }
            Ok(models)
        })
    }

    fn find<'a>(&'a self, model: &'a ModelName, version: Version) -> Later<'a, Option<SourceVersion>> {
        self.folder.find(model, version)
    }

    fn read<'a>(&'a self, model: &'a ModelName, version: Version) -> Later<'a, SourceFiles> {
        self.folder.read(model, version)
    }

    fn withdraw<'a>(&'a self, model: &'a ModelName, seen: u64, why: &'a str) -> Later<'a, ()> {
        ModelSource::withdraw(&self.routes, model, seen, why)
    }
}

/// Has a model follow its route. Where the version that it makes live is gone, nobody else is given its requests: a
/// higher one may be just what was to be kept from them.
fn follow(model: &mut SourceModel, change: RouteChange) {
    if let Some(live) = change.route.live {
        if !model.versions.iter().any(|version| version.version == live) {
            let what =
                format!("its route has version {live} live, which is not served from the folder any more");
            let name = &model.name;
            model.problem.get_or_insert(format!(
                "{what}; put it back, or change the route by `modelyard routes set {name}` or `routes clear {name}`"
            ));
        }
        model.aliases.insert(Alias::live(), live);
    }
    model.route = Some(change).filter(|change| change.route.has_arms());
}
