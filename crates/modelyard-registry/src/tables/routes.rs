//! The tables of routes: every change, and which one is in force.

use modelyard_types::ModelName;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Rows, broken, number, parsed, text, whole};
use crate::RegistryError;
use crate::document::Route;
use crate::route::{RouteChange, RouteChangeKind};

/// `route_changes.before` is the change that undoing this one goes back to; `route` is the document.
pub(super) const SCRIPT: &str = "
CREATE TABLE route_changes (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    model  TEXT    NOT NULL,
    kind   TEXT    NOT NULL,
    route  TEXT    NOT NULL,
    at_ms  INTEGER NOT NULL,
    by     TEXT    NOT NULL,
    why    TEXT    NOT NULL,
    before INTEGER REFERENCES route_changes (id)
) STRICT;
CREATE INDEX route_changes_by_model ON route_changes (model);
CREATE TABLE routes (
    model  TEXT    PRIMARY KEY,
    change INTEGER NOT NULL REFERENCES route_changes (id)
) STRICT, WITHOUT ROWID;
";

impl Rows {
    /// The change that made a model's route what it is.
    pub(crate) async fn route_change(
        &mut self,
        name: &ModelName,
    ) -> Result<Option<RouteChange>, RegistryError> {
        let query = sqlx::query(
            "SELECT route_changes.* FROM routes JOIN route_changes ON route_changes.id = change \
             WHERE routes.model = $1",
        );
        let row = self.one(query.bind(name.as_str())).await?;
        row.as_ref().map(route_change).transpose()
    }

    /// The change of this number.
    pub(crate) async fn route_change_of(&mut self, id: u64) -> Result<RouteChange, RegistryError> {
        let query = sqlx::query("SELECT * FROM route_changes WHERE id = $1");
        let row = self.one(query.bind(number(id))).await?;
        route_change(&row.ok_or_else(|| broken(&format!("route change {id}"), "it is missing"))?)
    }

    /// The routes of models that have no version here, by name.
    pub(crate) async fn routes_elsewhere(
        &mut self,
    ) -> Result<Vec<(ModelName, Result<RouteChange, RegistryError>)>, RegistryError> {
        let query = sqlx::query(
            "SELECT route_changes.* FROM routes JOIN route_changes ON route_changes.id = change \
             WHERE NOT EXISTS (SELECT 1 FROM versions WHERE versions.model = routes.model) \
             ORDER BY routes.model",
        );
        let named = |row: &SqliteRow| Ok((parsed(row, "model")?, route_change(row)));
        self.all(query).await?.iter().map(named).collect()
    }

    /// Every change of a model's route, newest first.
    pub(crate) async fn route_history(
        &mut self,
        name: &ModelName,
    ) -> Result<Vec<RouteChange>, RegistryError> {
        let query = sqlx::query("SELECT * FROM route_changes WHERE model = $1 ORDER BY id DESC");
        self.all(query.bind(name.as_str())).await?.iter().map(route_change).collect()
    }

    /// Writes a change into the history and puts it in force; gives its number.
    pub(crate) async fn change_route(
        &mut self,
        name: &ModelName,
        change: &RouteChange,
    ) -> Result<u64, RegistryError> {
        let query = sqlx::query(
            "INSERT INTO route_changes (model, kind, route, at_ms, by, why, before) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        );
        let query = query
            .bind(name.as_str())
            .bind(change.kind.as_str())
            .bind(change.route.to_json())
            .bind(number(change.at_unix_ms))
            .bind(&change.by)
            .bind(&change.why)
            .bind(change.before.map(number));
        let row = self.one(query).await?.ok_or_else(|| broken("a new route", "it has no number"))?;
        let id = whole(&row, "id")?;
        let query = sqlx::query("INSERT OR REPLACE INTO routes (model, change) VALUES ($1, $2)");
        self.run(query.bind(name.as_str()).bind(number(id))).await?;
        Ok(id)
    }
}

fn route_change(row: &SqliteRow) -> Result<RouteChange, RegistryError> {
    let kind = text(row, "kind")?;
    let before: Option<i64> =
        row.try_get("before").map_err(|why| broken("a route change", &why.to_string()))?;
    Ok(RouteChange {
        id: whole(row, "id")?,
        kind: RouteChangeKind::parse(&kind)
            .ok_or_else(|| broken("a route change", &format!("kind {kind:?}")))?,
        route: Route::from_json(text(row, "route")?.as_bytes())?,
        at_unix_ms: whole(row, "at_ms")?,
        by: text(row, "by")?,
        why: text(row, "why")?,
        before: before.and_then(|id| u64::try_from(id).ok()),
    })
}
