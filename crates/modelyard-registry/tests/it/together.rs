//! Several at once: tasks of one process, and whole processes, publishing into one store.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use modelyard_types::Alias;

use crate::support::{anna, assert_whole, digits, name, number, open, promotion, store, store_with};

/// Runs one test of this very binary in a process of its own, with what it needs to know in its environment.
pub(crate) fn child(test: &str, store: &Path, label: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we are running"));
    command.args([test, "--exact", "--nocapture"]).env("REGISTRY_TEST_CHILD", label);
    command.env("REGISTRY_TEST_STORE", store).stdin(Stdio::null());
    command
}

/// The store and label given by [`child`]; none in an ordinary test run.
#[allow(clippy::disallowed_methods, reason = "a test that is its own child process is told so this way")]
pub(crate) fn told() -> Option<(std::path::PathBuf, String)> {
    let store = std::env::var_os("REGISTRY_TEST_STORE")?;
    Some((store.into(), std::env::var("REGISTRY_TEST_CHILD").ok()?))
}

const PER_CHILD: usize = 10;

#[tokio::test]
async fn child_publishes_ten() {
    let Some((store, label)) = told() else { return };
    let registry = open(&store).await;
    for number in 0..PER_CHILD {
        registry.publish(digits(&format!("{label} {number}"))).await.expect("published");
        // The same for all children: whoever is first publishes it, the others recognise it.
        registry.publish(digits(&format!("shared {number}"))).await.expect("published");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_publish_at_once_and_numbers_stay_consecutive() {
    let (folder, registry) = store().await;
    let start =
        |label| child("together::child_publishes_ten", folder.path(), label).stdout(Stdio::null()).spawn();
    let mut children: Vec<Child> =
        ["a", "b", "c"].map(|label| start(label).expect("the child starts")).into();
    // Meanwhile, collecting as often as possible must never take away what is being published.
    while children.iter_mut().any(|child| child.try_wait().expect("our child").is_none()) {
        registry.collect().await.expect("collected or left alone");
    }
    for child in &mut children {
        assert!(child.wait().expect("our child").success());
    }
    registry.collect().await.expect("collected");
    let versions = registry.versions(&name("digits")).await.expect("listed");
    assert_eq!(versions.len(), 4 * PER_CHILD);
    assert_whole(&registry, "after three processes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_publish_promote_and_read_at_once() {
    let (_folder, registry) = store_with(2).await;
    registry.promote(promotion("live", 1)).await.expect("moved");
    let tasks: Vec<_> = (0..12u64)
        .map(|task| {
            let registry = registry.clone();
            tokio::spawn(async move {
                match task % 3 {
                    0 => drop(registry.publish(digits(&format!("task {}", task / 6))).await?),
                    1 => drop(registry.promote(promotion("live", 1 + task % 2)).await?),
                    _ => {
                        registry.find(&name("digits"), &number(99)).await.expect_err("never there");
                        registry.rollback(&name("digits"), &Alias::live(), &anna(), "").await.ok();
                    }
                }
                Ok::<(), modelyard_registry::RegistryError>(())
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("no error");
    }
    registry.collect().await.expect("collected");
    assert_eq!(registry.versions(&name("digits")).await.expect("listed").len(), 4);
    assert_whole(&registry, "after many tasks").await;
}
