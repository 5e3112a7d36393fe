//! Damage on the disk: every kind is detected when a version is loaded, and named.

use std::path::{Path, PathBuf};

use modelyard_registry::{FileFault, Registry, RegistryError};
use modelyard_types::ErrorKind;

use crate::support::{clock, digits, folders, name, number, open, store_with};

fn file(store: &Path, name: &str) -> PathBuf {
    let folders = folders(store);
    assert_eq!(folders.len(), 1);
    store.join("versions").join(&folders[0]).join(name)
}

async fn fault_after(damage: impl Fn(&Path)) -> FileFault {
    let (folder, registry) = store_with(1).await;
    damage(&file(folder.path(), "card.md"));
    // Opening reads no artifacts, so it works; loading does not.
    let reopened = open(folder.path()).await;
    let version = reopened.find(&name("digits"), &number(1)).await.expect("its row is whole");
    let error = reopened.load(&version).await.expect_err("damaged");
    assert_eq!(error.kind(), ErrorKind::DataCorrupt);
    assert!(error.to_string().starts_with("card.md of digits version 1 is damaged: "), "{error}");
    assert!(error.hint().is_some());
    assert!(reopened.load_file(&version, "card.md").await.is_err());
    assert!(reopened.load_file(&version, "model.onnx").await.is_ok(), "the other file is whole");
    let report = registry.verify(&name("digits"), &number(1)).await.expect("readable");
    assert_eq!((report.is_intact(), report.faults.len()), (false, 1));

    // Publishing the same content again repairs the version.
    let repaired = registry.publish(digits("version 1")).await.expect("published");
    assert_eq!(repaired.version, version.version);
    assert!(registry.load(&version).await.is_ok());
    registry.collect().await.expect("collected");
    assert_eq!(folders(folder.path()).len(), 1, "the damaged folder is gone");
    report.faults[0].1.clone()
}

#[tokio::test]
async fn a_flipped_bit_is_detected() {
    let fault = fault_after(|path| {
        let mut bytes = std::fs::read(path).expect("there");
        bytes[3] ^= 0x10;
        std::fs::write(path, bytes).expect("written");
    });
    assert_eq!(fault.await, FileFault::Changed);
}

#[tokio::test]
async fn a_truncated_file_is_detected() {
    let fault = fault_after(|path| std::fs::write(path, b"ver").expect("written"));
    assert_eq!(fault.await, FileFault::WrongSize { want: 9, got: 3 });
}

#[tokio::test]
async fn a_missing_file_is_detected() {
    let fault = fault_after(|path| std::fs::remove_file(path).expect("removed"));
    assert_eq!(fault.await, FileFault::Missing);
}

#[tokio::test]
async fn verify_also_finds_a_file_that_was_never_published() {
    let (folder, registry) = store_with(1).await;
    std::fs::write(file(folder.path(), "stranger.bin"), b"?").expect("written");
    let report = registry.verify(&name("digits"), &number(1)).await.expect("readable");
    assert_eq!(report.faults, [("stranger.bin".to_owned(), FileFault::Unexpected)]);
}

#[tokio::test]
async fn a_damaged_database_is_an_error_not_a_panic() {
    let (folder, registry) = store_with(3).await;
    registry.close().await;
    drop(registry);
    let database = folder.path().join("store.db");
    let good = std::fs::read(&database).expect("there");
    for from in (0..good.len()).step_by(good.len() / 20) {
        let mut bytes = good.clone();
        let to = (from + 600).min(bytes.len());
        bytes[from..to].fill(0xa5);
        std::fs::write(&database, &bytes).expect("written");
        let Ok(registry) = Registry::open(folder.path(), clock()).await else { continue };
        // Whatever still reads is either right or an error; the digest decides.
        if let Ok(version) = registry.find(&name("digits"), &number(2)).await
            && let Ok(files) = registry.load(&version).await
        {
            assert_eq!(files.get("card.md").map(|bytes| bytes.as_ref()), Some(b"version 2".as_slice()));
        }
        registry.close().await;
        for extra in ["store.db-wal", "store.db-shm"] {
            let _ = std::fs::remove_file(folder.path().join(extra));
        }
    }
}

#[tokio::test]
async fn a_store_of_a_newer_program_is_refused_and_left_alone() {
    let (folder, registry) = store_with(1).await;
    registry.close().await;
    let tables = modelyard_storage::Tables::open(&folder.path().join("store.db")).await.expect("opens");
    sqlx::query("UPDATE schema_version SET version = 99").execute(tables.pool()).await.expect("changed");
    tables.close().await;
    let error = Registry::open(folder.path(), clock()).await.expect_err("newer");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    let RegistryError::Storage(cause) = &error else { unreachable!("the store refuses") };
    let text = cause.to_string();
    assert!(text.contains("was written by a newer modelyard"), "{text}");
    assert!(text.ends_with("of version 99, this program knows them up to 5"), "{text}");
    assert!(error.hint().is_some());
    assert_eq!(folders(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_store_without_its_database_is_left_as_it_is() {
    let (folder, registry) = store_with(2).await;
    registry.close().await;
    let before = folders(folder.path());
    std::fs::remove_file(folder.path().join("store.db")).expect("removed");
    let error = Registry::open(folder.path(), clock()).await.expect_err("the database is lost");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert!(error.hint().is_some_and(|hint| hint.contains("backup")), "{:?}", error.hint());
    assert_eq!(folders(folder.path()), before);
}

#[tokio::test]
async fn versions_younger_than_the_database_keep_their_files() {
    let (folder, registry) = store_with(1).await;
    registry.close().await;
    let (database, backup) = (folder.path().join("store.db"), folder.path().join("store.db.backup"));
    std::fs::copy(&database, &backup).expect("copied");
    let registry = open(folder.path()).await;
    registry.publish(digits("version 2")).await.expect("published");
    registry.close().await;
    std::fs::rename(&backup, &database).expect("put back");

    let registry = open(folder.path()).await;
    assert_eq!(registry.versions(&name("digits")).await.expect("listed").len(), 1);
    assert_eq!(folders(folder.path()).len(), 2, "the second version's files are there");
    // Publishing it again takes a folder of its own, and what was there stays.
    let again = registry.publish(digits("version 2")).await.expect("published");
    registry.collect().await.expect("collected");
    assert!(registry.load(&again).await.is_ok());
    assert_eq!(folders(folder.path()).len(), 3);
}
