//! Changing a model's route, undoing the change, and the history of both.

use modelyard_types::{Caller, ModelName, Version};

use crate::document::Route;
use crate::registry::Registry;
use crate::tables::Rows;
use crate::{GateRule, RegistryError};

/// The wish for another route.
#[derive(Clone, Debug)]
pub struct NewRoute {
    /// The model.
    pub name: ModelName,
    /// The whole route, in place of the one before.
    pub route: Route,
    /// What to do about a canary that missed a gate.
    pub gates: GateRule,
    /// Who asks.
    pub by: Caller,
    /// The reason, for the history.
    pub why: String,
}

/// How a route came to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteChangeKind {
    /// Somebody chose it.
    Set,
    /// Somebody undid the change before.
    Rollback,
    /// A server withdrew a canary that passed one of its limits.
    Withdrawal,
}

impl RouteChangeKind {
    const ALL: [Self; 3] = [Self::Set, Self::Rollback, Self::Withdrawal];

    /// The stable name, as the database and JSON show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Rollback => "rollback",
            Self::Withdrawal => "withdrawal",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// One line of a route's history.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteChange {
    /// Its number: grows with every change of any route.
    pub id: u64,
    /// How.
    pub kind: RouteChangeKind,
    /// The route since.
    pub route: Route,
    /// When, in milliseconds since 1970 (UTC).
    pub at_unix_ms: u64,
    /// Who asked.
    pub by: String,
    /// The reason given.
    pub why: String,
    /// The change that undoing this one goes back to; none where there was no route before.
    pub(crate) before: Option<u64>,
}

impl Registry {
    /// Puts a route in the place of the one before, at once and whole. Where it is the same already, nothing
    /// changes, and none is given where there never was a route.
    ///
    /// # Errors
    /// [`RegistryError::BadRoute`] for numbers that make no sense; [`RegistryError::NoSuchModel`] or
    /// [`RegistryError::NoSuchVersion`]; [`RegistryError::GatesMissed`] where the canary missed a gate and
    /// that is not overridden.
    pub async fn set_route(&self, new: NewRoute) -> Result<Option<RouteChange>, RegistryError> {
        let NewRoute { name, route, gates, .. } = &new;
        check(name, route)?;
        if route.live.is_some() {
            let why = "which version of a registered model is live is said by its alias".to_owned();
            return Err(RegistryError::BadRoute { name: name.clone(), why });
        }
        self.must_have_routes(name).await?;
        let mut rows = self.write().await?;
        let canary = route.canary.as_ref().map(|canary| (canary.version, *gates));
        let shadow = route.shadow.as_ref().map(|shadow| (shadow.version, GateRule::Override));
        for (version, gates) in canary.into_iter().chain(shadow) {
            if let Err(error) = may_answer(&mut rows, name, version, gates).await? {
                drop(rows);
                return Err(match error {
                    Unfit::Missing => self.no_such_version(name, version).await?,
                    Unfit::MissedGate => RegistryError::CanaryMissedGates { name: name.clone(), version },
                });
            }
        }
        self.replace(rows, new).await
    }

    /// As [`Registry::set_route`], for a model that is not registered but lies elsewhere, such as in a folder. Whether
    /// the versions are there is for the caller to know; gates it has none.
    ///
    /// # Errors
    /// [`RegistryError::BadRoute`]; [`RegistryError::OwnModel`] where a registered model has the name.
    pub async fn set_route_elsewhere(&self, new: NewRoute) -> Result<Option<RouteChange>, RegistryError> {
        check(&new.name, &new.route)?;
        let mut rows = self.write().await?;
        if rows.latest(&new.name).await?.is_some() {
            return Err(RegistryError::OwnModel { name: new.name });
        }
        self.replace(rows, new).await
    }

    async fn replace(&self, mut rows: Rows, new: NewRoute) -> Result<Option<RouteChange>, RegistryError> {
        let NewRoute { name, route, by, why, .. } = new;
        let current = rows.route_change(&name).await?;
        let same = current.as_ref().map_or(route.is_empty(), |current| current.route == route);
        if same {
            return Ok(current);
        }
        let before = current.map(|current| current.id);
        let kind = RouteChangeKind::Set;
        let change =
            RouteChange { id: 0, kind, route, at_unix_ms: self.now_unix_ms(), by: by.0, why, before };
        Ok(Some(write(rows, &name, change).await?))
    }

    /// Undoes the last change of a route. Repeated, it walks further back, as undo does.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`]; [`RegistryError::NoRouteBefore`] where there is nothing to undo.
    pub async fn rollback_route(
        &self,
        name: &ModelName,
        by: &Caller,
        why: &str,
    ) -> Result<RouteChange, RegistryError> {
        self.must_have_routes(name).await?;
        let mut rows = self.write().await?;
        let current = rows.route_change(name).await?;
        let Some(current) = current.filter(|now| now.before.is_some() || !now.route.is_empty()) else {
            return Err(RegistryError::NoRouteBefore { name: name.clone() });
        };
        let (route, before) = match current.before {
            None => (Route::default(), None),
            Some(id) => {
                let target = rows.route_change_of(id).await?;
                (target.route, target.before)
            }
        };
        let change = RouteChange {
            id: 0,
            kind: RouteChangeKind::Rollback,
            route,
            at_unix_ms: self.now_unix_ms(),
            by: by.0.clone(),
            why: why.to_owned(),
            before,
        };
        write(rows, name, change).await
    }

    /// Takes the canary out of a route, where the route is still that of the change `seen`: a server that
    /// judged an older route must not touch a newer one. None where it is another by now.
    ///
    /// # Errors
    /// Where the store cannot be written.
    pub async fn withdraw_canary(
        &self,
        name: &ModelName,
        seen: u64,
        by: &Caller,
        why: &str,
    ) -> Result<Option<RouteChange>, RegistryError> {
        let mut rows = self.write().await?;
        let current = rows.route_change(name).await?;
        let Some(current) = current.filter(|now| now.id == seen && now.route.canary.is_some()) else {
            return Ok(None);
        };
        let change = RouteChange {
            id: 0,
            kind: RouteChangeKind::Withdrawal,
            route: Route { canary: None, ..current.route },
            at_unix_ms: self.now_unix_ms(),
            by: by.0.clone(),
            why: why.to_owned(),
            before: Some(current.id),
        };
        Ok(Some(write(rows, name, change).await?))
    }

    /// The change that made a model's route what it is; none where it never had one.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`].
    pub async fn route(&self, name: &ModelName) -> Result<Option<RouteChange>, RegistryError> {
        let found = self.read().await?.route_change(name).await?;
        if found.is_none() {
            self.must_know(name).await?;
        }
        Ok(found)
    }

    /// The routes in force of models that are not registered, each by itself: a damaged one keeps no other from
    /// being read.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub async fn routes_elsewhere(
        &self,
    ) -> Result<Vec<(ModelName, Result<RouteChange, RegistryError>)>, RegistryError> {
        self.read().await?.routes_elsewhere().await
    }

    /// Every change of a model's route, newest first.
    ///
    /// # Errors
    /// [`RegistryError::NoSuchModel`].
    pub async fn route_history(&self, name: &ModelName) -> Result<Vec<RouteChange>, RegistryError> {
        let changes = self.read().await?.route_history(name).await?;
        if changes.is_empty() {
            self.must_know(name).await?;
        }
        Ok(changes)
    }

    /// A model is known that is registered, or that lies elsewhere and had a route once.
    async fn must_have_routes(&self, name: &ModelName) -> Result<(), RegistryError> {
        self.route(name).await.map(drop)
    }
}

fn check(name: &ModelName, route: &Route) -> Result<(), RegistryError> {
    route.check().map_err(|why| RegistryError::BadRoute { name: name.clone(), why })
}

/// Why a version may not stand in a route.
enum Unfit {
    Missing,
    MissedGate,
}

async fn may_answer(
    rows: &mut Rows,
    name: &ModelName,
    version: Version,
    gates: GateRule,
) -> Result<Result<(), Unfit>, RegistryError> {
    Ok(match rows.version(name, version).await? {
        None => Err(Unfit::Missing),
        Some(found) if !found.gates_passed && gates == GateRule::MustPass => Err(Unfit::MissedGate),
        Some(_) => Ok(()),
    })
}

async fn write(mut rows: Rows, name: &ModelName, change: RouteChange) -> Result<RouteChange, RegistryError> {
    let id = rows.change_route(name, &change).await?;
    rows.commit().await?;
    Ok(RouteChange { id, ..change })
}
