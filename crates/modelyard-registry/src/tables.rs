//! All SQL of the registry: its tables, and one transaction over them at a time.

mod graphs;
mod routes;

use modelyard_storage::{Migrations, Tables};
use modelyard_types::{Alias, ModelName, Version};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use crate::content::FileEntry;
use crate::{AliasMove, ModelSummary, ModelVersion, MoveKind, RegistryError};

/// The scripts that make the tables. Never edit one that was released: add another.
pub(crate) const MIGRATIONS: Migrations = Migrations {
    owner: "registry",
    scripts: &[VERSION_1, VERSION_2, routes::SCRIPT, VERSION_4, graphs::SCRIPT],
};

/// `alias_moves.before` is the move that a rollback of this one goes back to.
const VERSION_1: &str = "
CREATE TABLE versions (
    model        TEXT    NOT NULL,
    version      INTEGER NOT NULL CHECK (version > 0),
    digest       TEXT    NOT NULL,
    folder       TEXT    NOT NULL UNIQUE,
    created_ms   INTEGER NOT NULL,
    by           TEXT    NOT NULL,
    origin       TEXT    NOT NULL,
    gates_passed INTEGER NOT NULL,
    parent       INTEGER,
    summary      TEXT    NOT NULL,
    PRIMARY KEY (model, version),
    UNIQUE (model, digest),
    FOREIGN KEY (model, parent) REFERENCES versions (model, version)
) STRICT;
CREATE TABLE files (
    model   TEXT    NOT NULL,
    version INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    sha256  TEXT    NOT NULL,
    size    INTEGER NOT NULL,
    PRIMARY KEY (model, version, name),
    FOREIGN KEY (model, version) REFERENCES versions (model, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE alias_moves (
    id           INTEGER PRIMARY KEY,
    model        TEXT    NOT NULL,
    alias        TEXT    NOT NULL,
    kind         TEXT    NOT NULL,
    from_version INTEGER,
    to_version   INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,
    by           TEXT    NOT NULL,
    why          TEXT    NOT NULL,
    before       INTEGER REFERENCES alias_moves (id),
    FOREIGN KEY (model, to_version) REFERENCES versions (model, version)
) STRICT;
CREATE INDEX alias_moves_by_model ON alias_moves (model);
CREATE TABLE aliases (
    model TEXT    NOT NULL,
    alias TEXT    NOT NULL,
    move  INTEGER NOT NULL REFERENCES alias_moves (id),
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;
CREATE TABLE revision (number INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (0);
";

/// Training runs; `record` is the document.
const VERSION_2: &str = "
CREATE TABLE runs (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    project TEXT    NOT NULL,
    record  TEXT    NOT NULL
) STRICT;
CREATE INDEX runs_by_project ON runs (project);
";

/// Folders of artifacts that are no version's yet, or no more: all that may ever be collected.
const VERSION_4: &str = "
CREATE TABLE attempts (folder TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
";

/// A move as rollback sees it: where it went, and which move it would go back to.
pub(crate) struct MoveLink {
    pub(crate) id: i64,
    pub(crate) to: Version,
    pub(crate) before: Option<i64>,
}

/// One transaction. Reading, it sees one moment; writing, it is the only writer. Dropped without
/// [`Rows::commit`], it changes nothing.
pub(crate) struct Rows {
    tables: Tables,
    transaction: Transaction<'static, Sqlite>,
}

impl Rows {
    pub(crate) async fn read(tables: &Tables) -> Result<Self, RegistryError> {
        let transaction = tables.pool().begin().await.map_err(|source| tables.error(source))?;
        Ok(Self { tables: tables.clone(), transaction })
    }

    pub(crate) async fn write(tables: &Tables) -> Result<Self, RegistryError> {
        Ok(Self { tables: tables.clone(), transaction: tables.begin_write().await? })
    }

    /// Makes the changes true, on the disk, and tells everybody who polls the revision.
    pub(crate) async fn commit(mut self) -> Result<(), RegistryError> {
        self.run(sqlx::query("UPDATE revision SET number = number + 1")).await?;
        self.commit_quietly().await
    }

    /// Makes changes true that nobody who polls the revision needs to know of.
    pub(crate) async fn commit_quietly(self) -> Result<(), RegistryError> {
        let Self { tables, transaction } = self;
        transaction.commit().await.map_err(|source| tables.error(source))?;
        Ok(())
    }

    pub(crate) async fn revision(&mut self) -> Result<u64, RegistryError> {
        let row = self.one(sqlx::query("SELECT number FROM revision")).await?;
        let row = row.ok_or_else(|| broken("the revision", "it is missing"))?;
        whole(&row, "number")
    }

    /// The number of the model's newest version.
    pub(crate) async fn latest(&mut self, name: &ModelName) -> Result<Option<Version>, RegistryError> {
        let query = sqlx::query("SELECT max(version) AS latest FROM versions WHERE model = $1");
        let row = self.one(query.bind(name.as_str())).await?;
        Ok(row.and_then(|row| row.try_get::<Option<i64>, _>("latest").ok().flatten()).and_then(version_of))
    }

    pub(crate) async fn version(
        &mut self,
        name: &ModelName,
        version: Version,
    ) -> Result<Option<ModelVersion>, RegistryError> {
        let query = sqlx::query("SELECT * FROM versions WHERE model = $1 AND version = $2");
        let Some(row) = self.one(query.bind(name.as_str()).bind(number(version.get()))).await? else {
            return Ok(None);
        };
        let files = sqlx::query("SELECT * FROM files WHERE model = $1 AND version = $2 ORDER BY name");
        let files = self.all(files.bind(name.as_str()).bind(number(version.get()))).await?;
        let mut found = model_version(name, &row)?;
        found.files = files.iter().map(file_entry).collect::<Result<_, _>>()?;
        let aliases = self.aliases(name).await?;
        found.aliases =
            aliases.into_iter().filter(|(_, to)| *to == version).map(|(alias, _)| alias).collect();
        Ok(Some(found))
    }

    /// All versions of a model, oldest first, in three queries however many there are.
    pub(crate) async fn versions(&mut self, name: &ModelName) -> Result<Vec<ModelVersion>, RegistryError> {
        let query = sqlx::query("SELECT * FROM versions WHERE model = $1 ORDER BY version");
        let rows = self.all(query.bind(name.as_str())).await?;
        let mut found = rows.iter().map(|row| model_version(name, row)).collect::<Result<Vec<_>, _>>()?;
        let place =
            |found: &[ModelVersion], version| found.binary_search_by_key(&version, |v| v.version).ok();
        let query = sqlx::query("SELECT * FROM files WHERE model = $1 ORDER BY version, name");
        for row in self.all(query.bind(name.as_str())).await? {
            if let Some(at) = place(&found, version_at(&row, "version")?) {
                found[at].files.push(file_entry(&row)?);
            }
        }
        for (alias, version) in self.aliases(name).await? {
            if let Some(at) = place(&found, version) {
                found[at].aliases.push(alias);
            }
        }
        Ok(found)
    }

    /// The version of a model that has this content.
    pub(crate) async fn version_of_digest(
        &mut self,
        name: &ModelName,
        digest: &str,
    ) -> Result<Option<Version>, RegistryError> {
        let query = sqlx::query("SELECT version FROM versions WHERE model = $1 AND digest = $2");
        let row = self.one(query.bind(name.as_str()).bind(digest)).await?;
        row.map(|row| version_at(&row, "version")).transpose()
    }

    pub(crate) async fn add_version(
        &mut self,
        new: &ModelVersion,
        folder: &str,
    ) -> Result<(), RegistryError> {
        let query = sqlx::query(
            "INSERT INTO versions (model, version, digest, folder, created_ms, by, origin, gates_passed, \
             parent, summary) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        );
        let query = query
            .bind(new.name.as_str())
            .bind(number(new.version.get()))
            .bind(&new.digest)
            .bind(folder)
            .bind(number(new.created_unix_ms))
            .bind(&new.by)
            .bind(new.origin.as_str())
            .bind(new.gates_passed)
            .bind(new.parent.map(|parent| number(parent.get())))
            .bind(new.summary.to_string());
        self.run(query).await?;
        for file in &new.files {
            let query = sqlx::query(
                "INSERT INTO files (model, version, name, sha256, size) VALUES ($1, $2, $3, $4, $5)",
            );
            let query = query
                .bind(new.name.as_str())
                .bind(number(new.version.get()))
                .bind(&file.name)
                .bind(&file.sha256)
                .bind(number(file.size));
            self.run(query).await?;
        }
        Ok(())
    }

    /// The folder that holds a version's files.
    pub(crate) async fn folder(
        &mut self,
        name: &ModelName,
        version: Version,
    ) -> Result<Option<String>, RegistryError> {
        let query = sqlx::query("SELECT folder FROM versions WHERE model = $1 AND version = $2");
        let row = self.one(query.bind(name.as_str()).bind(number(version.get()))).await?;
        row.map(|row| text(&row, "folder")).transpose()
    }

    /// Points a version at another folder with the same content.
    pub(crate) async fn set_folder(
        &mut self,
        name: &ModelName,
        version: Version,
        folder: &str,
    ) -> Result<(), RegistryError> {
        let query = sqlx::query("UPDATE versions SET folder = $3 WHERE model = $1 AND version = $2");
        self.run(query.bind(name.as_str()).bind(number(version.get())).bind(folder)).await
    }

    /// Whether a version owns this folder.
    pub(crate) async fn owns(&mut self, folder: &str) -> Result<bool, RegistryError> {
        let query = sqlx::query("SELECT 1 FROM versions WHERE folder = $1");
        Ok(self.one(query.bind(folder)).await?.is_some())
    }

    /// Records that files are about to be written into a folder; false where somebody has recorded that before.
    pub(crate) async fn add_attempt(&mut self, folder: &str) -> Result<bool, RegistryError> {
        let query = sqlx::query("INSERT OR IGNORE INTO attempts (folder) VALUES ($1) RETURNING folder");
        Ok(self.one(query.bind(folder)).await?.is_some())
    }

    /// Forgets an attempt: its folder became a version's, or is gone.
    pub(crate) async fn end_attempt(&mut self, folder: &str) -> Result<(), RegistryError> {
        self.run(sqlx::query("DELETE FROM attempts WHERE folder = $1").bind(folder)).await
    }

    /// The folders of all attempts, in order.
    pub(crate) async fn attempts(&mut self) -> Result<Vec<String>, RegistryError> {
        let rows = self.all(sqlx::query("SELECT folder FROM attempts ORDER BY folder")).await?;
        rows.iter().map(|row| text(row, "folder")).collect()
    }

    /// A model whose name differs from this one by upper and lower case only.
    pub(crate) async fn other_spelling(
        &mut self,
        name: &ModelName,
    ) -> Result<Option<ModelName>, RegistryError> {
        let query =
            sqlx::query("SELECT model FROM versions WHERE lower(model) = lower($1) AND model <> $1 LIMIT 1");
        let row = self.one(query.bind(name.as_str())).await?;
        row.map(|row| parsed(&row, "model")).transpose()
    }

    pub(crate) async fn models(&mut self) -> Result<Vec<ModelSummary>, RegistryError> {
        let query = sqlx::query(
            "SELECT model, count(*) AS versions, max(version) AS latest, created_ms FROM versions \
             GROUP BY model ORDER BY model",
        );
        let mut models = Vec::new();
        for row in self.all(query).await? {
            let name: ModelName = parsed(&row, "model")?;
            models.push(ModelSummary {
                versions: whole(&row, "versions")?,
                latest: version_at(&row, "latest")?,
                latest_created_unix_ms: whole(&row, "created_ms")?,
                aliases: self.aliases(&name).await?,
                name,
            });
        }
        Ok(models)
    }

    /// A model's aliases and what they point at, by name.
    pub(crate) async fn aliases(&mut self, name: &ModelName) -> Result<Vec<(Alias, Version)>, RegistryError> {
        let query = sqlx::query(
            "SELECT aliases.alias, to_version FROM aliases JOIN alias_moves ON alias_moves.id = move \
             WHERE aliases.model = $1 ORDER BY aliases.alias",
        );
        let rows = self.all(query.bind(name.as_str())).await?;
        rows.iter().map(|row| Ok((parsed(row, "alias")?, version_at(row, "to_version")?))).collect()
    }

    /// The move that brought an alias where it is.
    pub(crate) async fn current_move(
        &mut self,
        name: &ModelName,
        alias: &Alias,
    ) -> Result<Option<MoveLink>, RegistryError> {
        let query = sqlx::query("SELECT move FROM aliases WHERE model = $1 AND alias = $2");
        let Some(row) = self.one(query.bind(name.as_str()).bind(alias.as_str())).await? else {
            return Ok(None);
        };
        let id = row.try_get("move").map_err(|source| self.tables.error(source))?;
        self.move_link(id).await.map(Some)
    }

    pub(crate) async fn move_link(&mut self, id: i64) -> Result<MoveLink, RegistryError> {
        let row = self.move_row(id).await?;
        let before = row.try_get("before").map_err(|source| self.tables.error(source))?;
        Ok(MoveLink { id, to: version_at(&row, "to_version")?, before })
    }

    pub(crate) async fn alias_move(&mut self, id: i64) -> Result<AliasMove, RegistryError> {
        alias_move(&self.move_row(id).await?)
    }

    /// Writes a move into the history and makes it the current one. `before` is what a rollback of it
    /// goes back to.
    pub(crate) async fn move_alias(
        &mut self,
        name: &ModelName,
        done: &AliasMove,
        before: Option<i64>,
    ) -> Result<(), RegistryError> {
        let query = sqlx::query(
            "INSERT INTO alias_moves (model, alias, kind, from_version, to_version, at_ms, by, why, before) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        let query = query
            .bind(name.as_str())
            .bind(done.alias.as_str())
            .bind(done.kind.as_str())
            .bind(done.from.map(|from| number(from.get())))
            .bind(number(done.to.get()))
            .bind(number(done.at_unix_ms))
            .bind(&done.by)
            .bind(&done.why)
            .bind(before);
        self.run(query).await?;
        let query = sqlx::query(
            "INSERT OR REPLACE INTO aliases (model, alias, move) VALUES ($1, $2, last_insert_rowid())",
        );
        self.run(query.bind(name.as_str()).bind(done.alias.as_str())).await
    }

    /// Every move of every alias of a model, newest first.
    pub(crate) async fn history(&mut self, name: &ModelName) -> Result<Vec<AliasMove>, RegistryError> {
        let query = sqlx::query("SELECT * FROM alias_moves WHERE model = $1 ORDER BY id DESC");
        self.all(query.bind(name.as_str())).await?.iter().map(alias_move).collect()
    }

    /// Adds a run and gives its number.
    pub(crate) async fn add_run(&mut self, project: &str, record: &str) -> Result<u64, RegistryError> {
        let query = sqlx::query("INSERT INTO runs (project, record) VALUES ($1, $2) RETURNING id");
        let row = self.one(query.bind(project).bind(record)).await?;
        whole(&row.ok_or_else(|| broken("a new run", "it has no number"))?, "id")
    }

    pub(crate) async fn set_run(&mut self, id: u64, record: &str) -> Result<(), RegistryError> {
        let query = sqlx::query("UPDATE runs SET record = $2 WHERE id = $1");
        self.run(query.bind(number(id)).bind(record)).await
    }

    /// The document of one run.
    pub(crate) async fn run_record(&mut self, id: u64) -> Result<Option<String>, RegistryError> {
        // A number that SQLite cannot hold is no run's.
        let Ok(id) = i64::try_from(id) else { return Ok(None) };
        let row = self.one(sqlx::query("SELECT record FROM runs WHERE id = $1").bind(id)).await?;
        row.map(|row| text(&row, "record")).transpose()
    }

    /// The newest runs with their documents, newest first.
    pub(crate) async fn run_records(&mut self, limit: u64) -> Result<Vec<(u64, String)>, RegistryError> {
        let query = sqlx::query("SELECT id, record FROM runs ORDER BY id DESC LIMIT $1").bind(number(limit));
        let rows = self.all(query).await?;
        rows.iter().map(|row| Ok((whole(row, "id")?, text(row, "record")?))).collect()
    }

    async fn move_row(&mut self, id: i64) -> Result<SqliteRow, RegistryError> {
        let row = self.one(sqlx::query("SELECT * FROM alias_moves WHERE id = $1").bind(id)).await?;
        row.ok_or_else(|| broken(&format!("alias move {id}"), "it is missing"))
    }

    async fn one(&mut self, query: Query<'_>) -> Result<Option<SqliteRow>, RegistryError> {
        let row = query.fetch_optional(&mut *self.transaction).await;
        Ok(row.map_err(|source| self.tables.error(source))?)
    }

    async fn all(&mut self, query: Query<'_>) -> Result<Vec<SqliteRow>, RegistryError> {
        let rows = query.fetch_all(&mut *self.transaction).await;
        Ok(rows.map_err(|source| self.tables.error(source))?)
    }

    async fn run(&mut self, query: Query<'_>) -> Result<(), RegistryError> {
        let done = query.execute(&mut *self.transaction).await;
        Ok(done.map(drop).map_err(|source| self.tables.error(source))?)
    }
}

type Query<'q> = sqlx::query::Query<'q, Sqlite, sqlx::sqlite::SqliteArguments>;

fn model_version(name: &ModelName, row: &SqliteRow) -> Result<ModelVersion, RegistryError> {
    let summary = text(row, "summary")?;
    let column = |column: &'static str| move |why: sqlx::Error| broken(column, &why.to_string());
    Ok(ModelVersion {
        name: name.clone(),
        version: version_at(row, "version")?,
        digest: text(row, "digest")?,
        created_unix_ms: whole(row, "created_ms")?,
        by: text(row, "by")?,
        origin: text(row, "origin")?.parse().map_err(|why: String| broken("a version", &why))?,
        gates_passed: row.try_get("gates_passed").map_err(column("gates_passed"))?,
        parent: row.try_get::<Option<i64>, _>("parent").map_err(column("parent"))?.and_then(version_of),
        summary: serde_json::from_str(&summary).map_err(|why| broken("a summary", &why.to_string()))?,
        files: Vec::new(),
        aliases: Vec::new(),
    })
}

fn file_entry(row: &SqliteRow) -> Result<FileEntry, RegistryError> {
    Ok(FileEntry { name: text(row, "name")?, sha256: text(row, "sha256")?, size: whole(row, "size")? })
}

fn alias_move(row: &SqliteRow) -> Result<AliasMove, RegistryError> {
    let kind = text(row, "kind")?;
    let from: Option<i64> =
        row.try_get("from_version").map_err(|why| broken("an alias move", &why.to_string()))?;
    Ok(AliasMove {
        alias: parsed(row, "alias")?,
        kind: MoveKind::parse(&kind).ok_or_else(|| broken("an alias move", &format!("kind {kind:?}")))?,
        from: from.and_then(version_of),
        to: version_at(row, "to_version")?,
        at_unix_ms: whole(row, "at_ms")?,
        by: text(row, "by")?,
        why: text(row, "why")?,
    })
}

fn text(row: &SqliteRow, column: &str) -> Result<String, RegistryError> {
    row.try_get(column).map_err(|why| broken(column, &why.to_string()))
}

fn whole(row: &SqliteRow, column: &str) -> Result<u64, RegistryError> {
    let value: i64 = row.try_get(column).map_err(|why| broken(column, &why.to_string()))?;
    u64::try_from(value).map_err(|_| broken(column, &format!("{value} is negative")))
}

fn version_at(row: &SqliteRow, column: &str) -> Result<Version, RegistryError> {
    Version::new(whole(row, column)?).ok_or_else(|| broken(column, "a version cannot be 0"))
}

fn parsed<T>(row: &SqliteRow, column: &str) -> Result<T, RegistryError>
where
    T: std::str::FromStr<Err = modelyard_types::NameError>,
{
    text(row, column)?.parse().map_err(|why: T::Err| broken(column, &why.to_string()))
}

fn version_of(value: i64) -> Option<Version> {
    u64::try_from(value).ok().and_then(Version::new)
}

/// SQLite's integers are signed; sizes, times and version numbers stay far below 2^63.
fn number(value: u64) -> i64 {
    i64::try_from(value).expect("sizes, times and version numbers are below 2^63")
}

fn broken(what: &str, why: &str) -> RegistryError {
    RegistryError::BrokenRow { what: what.to_owned(), why: why.to_owned() }
}
