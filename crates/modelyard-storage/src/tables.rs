//! The SQLite file of a store: how it is opened so that an acknowledged row survives a crash, and how the
//! crates that own tables bring them up to date. SQL stands in those crates, in one file each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Row, Sqlite, Transaction};

use crate::StorageError;

/// How long a writer waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTIONS_MAX: u32 = 4;

/// A pool of connections to the store's database.
#[derive(Clone, Debug)]
pub struct Tables {
    path: PathBuf,
    pool: SqlitePool,
}

/// One crate's tables: SQL scripts to be run in order, each once. Their number is the schema's version.
/// A script that has been released is never edited; a change is a new one at the end.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// The crate's short name, under which the store remembers how far it is.
    pub owner: &'static str,
    /// The scripts.
    pub scripts: &'static [&'static str],
}

impl Tables {
    /// Opens the database file, making it where it is missing.
    ///
    /// # Errors
    /// Where the file cannot be opened or is no database.
    pub async fn open(path: &Path) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(BUSY_TIMEOUT)
            // SQLite ends a transaction by itself when the disk is full; the driver does not notice and could
            // never begin another one on that connection, so it is replaced.
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await
            .map_err(|source| StorageError::tables(path, source))?;
        Ok(Self { path: path.to_owned(), pool })
    }

    /// Brings one crate's tables up to date, all steps or none.
    ///
    /// # Errors
    /// [`StorageError::TooNew`] where a newer program has been here; nothing is changed then.
    pub async fn migrate(&self, migrations: Migrations) -> Result<(), StorageError> {
        let known = u32::try_from(migrations.scripts.len()).expect("a handful of scripts");
        let failed = |source| self.error(source);
        if self.schema_version(migrations.owner).await? == Some(known) {
            return Ok(());
        }
        let mut change = self.begin_write().await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS schema_version (owner TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
        )
        .execute(&mut *change)
        .await
        .map_err(failed)?;
        let row = sqlx::query("SELECT version FROM schema_version WHERE owner = $1")
            .bind(migrations.owner)
            .fetch_optional(&mut *change)
            .await
            .map_err(failed)?;
        let found: u32 = row.map_or(Ok(0), |row| row.try_get(0)).map_err(failed)?;
        if found > known {
            return Err(StorageError::TooNew {
                path: self.path.clone(),
                owner: migrations.owner,
                found,
                known,
            });
        }
        for script in &migrations.scripts[found as usize..] {
            sqlx::raw_sql(*script).execute(&mut *change).await.map_err(failed)?;
        }
        sqlx::query("INSERT OR REPLACE INTO schema_version (owner, version) VALUES ($1, $2)")
            .bind(migrations.owner)
            .bind(known)
            .execute(&mut *change)
            .await
            .map_err(failed)?;
        change.commit().await.map_err(failed)
    }

    /// Whether no crate has tables here yet.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn are_new(&self) -> Result<bool, StorageError> {
        let query =
            sqlx::query("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'");
        let there = query.fetch_optional(&self.pool).await.map_err(|source| self.error(source))?;
        Ok(there.is_none())
    }

    /// The pool, for reading.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    /// Starts a transaction that is the only writer until it ends, so that what it reads stays true.
    ///
    /// # Errors
    /// [`StorageError::Busy`] where another process keeps writing.
    pub async fn begin_write(&self) -> Result<Transaction<'static, Sqlite>, StorageError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(|source| self.error(source))
    }

    /// Names this database in an error of its driver.
    pub fn error(&self, source: sqlx::Error) -> StorageError {
        StorageError::tables(&self.path, source)
    }

    /// Ends all connections and folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// None where the table of versions is not there yet.
    async fn schema_version(&self, owner: &str) -> Result<Option<u32>, StorageError> {
        if self.are_new().await? {
            return Ok(None);
        }
        let failed = |source| self.error(source);
        let row = sqlx::query("SELECT version FROM schema_version WHERE owner = $1")
            .bind(owner)
            .fetch_optional(&self.pool)
            .await
            .map_err(failed)?;
        row.map(|row| row.try_get(0)).transpose().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use modelyard_types::ErrorKind;

    use super::*;

    const ONE: Migrations = Migrations { owner: "test", scripts: &["CREATE TABLE a (x INTEGER) STRICT"] };
    const TWO: Migrations = Migrations {
        owner: "test",
        scripts: &["CREATE TABLE a (x INTEGER) STRICT", "INSERT INTO a VALUES (7); INSERT INTO a VALUES (8)"],
    };

    async fn rows(tables: &Tables) -> i64 {
        let row = sqlx::query("SELECT count(*) FROM a").fetch_one(tables.pool()).await.expect("table a");
        row.try_get(0).expect("a number")
    }

    #[tokio::test]
    async fn each_script_runs_once_and_a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let tables = Tables::open(&path).await.expect("opens");
        tables.migrate(ONE).await.expect("first");
        assert_eq!(rows(&tables).await, 0);
        for _ in 0..2 {
            tables.migrate(TWO).await.expect("second, once");
            assert_eq!(rows(&tables).await, 2);
        }
        let error = tables.migrate(ONE).await.expect_err("newer");
        assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
        assert!(error.to_string().contains("test tables are of version 2, this program knows them up to 1"));
        assert!(error.hint().is_some());
    }

    #[tokio::test]
    async fn a_script_that_fails_leaves_nothing_behind() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tables = Tables::open(&folder.path().join("store.db")).await.expect("opens");
        let broken = Migrations { owner: "test", scripts: &["CREATE TABLE a (x INTEGER) STRICT", "NO SQL"] };
        assert!(tables.migrate(broken).await.is_err());
        tables.migrate(TWO).await.expect("from the beginning");
        assert_eq!(rows(&tables).await, 2);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_called_damaged() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        std::fs::write(&path, "not a database at all, just some text in a file".repeat(40)).expect("written");
        let error = Tables::open(&path).await.expect_err("no database");
        assert_eq!(error.kind(), ErrorKind::DataCorrupt, "{error:?}");
    }
}
