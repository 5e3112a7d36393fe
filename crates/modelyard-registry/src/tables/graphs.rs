//! The table of graphs: every change, the newest of each name in force.

use modelyard_types::{ModelName, Version};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Rows, broken, number, text, version_of, whole};
use crate::RegistryError;
use crate::document::Graph;
use crate::graph::{GraphChange, GraphChangeKind};

/// `graph` is the document, absent where the graph was deleted; `before` is the number of the change that
/// undoing this one goes back to.
pub(super) const SCRIPT: &str = "
CREATE TABLE graph_changes (
    name   TEXT    NOT NULL,
    number INTEGER NOT NULL CHECK (number > 0),
    kind   TEXT    NOT NULL,
    graph  TEXT,
    at_ms  INTEGER NOT NULL,
    by     TEXT    NOT NULL,
    why    TEXT    NOT NULL,
    before INTEGER,
    PRIMARY KEY (name, number),
    FOREIGN KEY (name, before) REFERENCES graph_changes (name, number)
) STRICT, WITHOUT ROWID;
";

impl Rows {
    /// The newest change of a graph.
    pub(crate) async fn graph_change(
        &mut self,
        name: &ModelName,
    ) -> Result<Option<GraphChange>, RegistryError> {
        let query = sqlx::query("SELECT * FROM graph_changes WHERE name = $1 ORDER BY number DESC LIMIT 1");
        let row = self.one(query.bind(name.as_str())).await?;
        row.as_ref().map(graph_change).transpose()
    }

    /// The change of this number.
    pub(crate) async fn graph_change_of(
        &mut self,
        name: &ModelName,
        change: Version,
    ) -> Result<GraphChange, RegistryError> {
        let query = sqlx::query("SELECT * FROM graph_changes WHERE name = $1 AND number = $2");
        let row = self.one(query.bind(name.as_str()).bind(number(change.get()))).await?;
        graph_change(&row.ok_or_else(|| broken(&format!("change {change} of {name}"), "it is missing"))?)
    }

    /// Every change of a graph, newest first.
    pub(crate) async fn graph_history(
        &mut self,
        name: &ModelName,
    ) -> Result<Vec<GraphChange>, RegistryError> {
        let query = sqlx::query("SELECT * FROM graph_changes WHERE name = $1 ORDER BY number DESC");
        self.all(query.bind(name.as_str())).await?.iter().map(graph_change).collect()
    }

    /// The newest change of each name, by name; deleted graphs too. A damaged one keeps no other from being read.
    pub(crate) async fn graph_changes(
        &mut self,
    ) -> Result<Vec<(ModelName, Result<GraphChange, RegistryError>)>, RegistryError> {
        let query = sqlx::query(
            "SELECT * FROM graph_changes AS c WHERE number = \
             (SELECT max(number) FROM graph_changes WHERE name = c.name) ORDER BY name",
        );
        let named = |row: &SqliteRow| {
            let name = text(row, "name")?;
            let name = name.parse().map_err(|_| broken("a graph", &format!("name {name:?}")))?;
            Ok((name, graph_change(row)))
        };
        self.all(query).await?.iter().map(named).collect()
    }

    /// Writes a change into the history, where it is in force.
    pub(crate) async fn change_graph(
        &mut self,
        name: &ModelName,
        change: &GraphChange,
    ) -> Result<(), RegistryError> {
        let query = sqlx::query(
            "INSERT INTO graph_changes (name, number, kind, graph, at_ms, by, why, before) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        );
        let query = query
            .bind(name.as_str())
            .bind(number(change.number.get()))
            .bind(change.kind.as_str())
            .bind(change.graph.as_ref().map(Graph::to_json))
            .bind(number(change.at_unix_ms))
            .bind(&change.by)
            .bind(&change.why)
            .bind(change.before.map(|before| number(before.get())));
        self.run(query).await?;
        Ok(())
    }
}

fn graph_change(row: &SqliteRow) -> Result<GraphChange, RegistryError> {
    let bad = |why: &str| broken("a change of a graph", why);
    let kind = text(row, "kind")?;
    let graph: Option<String> = row.try_get("graph").map_err(|why| bad(&why.to_string()))?;
    let before: Option<i64> = row.try_get("before").map_err(|why| bad(&why.to_string()))?;
    Ok(GraphChange {
        number: Version::new(whole(row, "number")?).ok_or_else(|| bad("number 0"))?,
        kind: GraphChangeKind::parse(&kind).ok_or_else(|| bad(&format!("kind {kind:?}")))?,
        graph: graph.map(|text| Graph::from_json(text.as_bytes())).transpose()?,
        at_unix_ms: whole(row, "at_ms")?,
        by: text(row, "by")?,
        why: text(row, "why")?,
        before: before.and_then(version_of),
    })
}
