//! A disk that is really full while a version is published, in a child process with a tiny file system of
//! its own; where the system allows no such thing, with a limit on file sizes.

use std::path::Path;
use std::process::{Command, Stdio};

use modelyard_registry::{Registry, RegistryError};
use modelyard_types::ErrorKind;

use crate::support::{assert_whole, clock, digits, folders, name, new, open, promotion};
use crate::together::{child, told};

#[tokio::test]
async fn child_fills_the_disk() {
    let Some((store, _)) = told() else { return };
    let registry = open(&store).await;
    registry.publish(digits("fits")).await.expect("published");
    let large = vec![7u8; 1_500_000];
    let files: [(&str, &[u8]); 3] = [("a.bin", b"small"), ("b.bin", &large), ("c.bin", &large)];
    let error = registry.publish(new("digits", &files)).await.expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error:?}");
    let RegistryError::Storage(cause) = &error else { unreachable!("the store fails") };
    assert!(cause.to_string().starts_with("the disk is full: "), "{cause}");
    assert!(error.hint().is_some());
    assert_eq!(folders(&store).len(), 1, "nothing half there");
    assert_whole(&registry, "after a full disk").await;

    // Space is free again, so the next one works.
    registry.publish(digits("fits too")).await.expect("published");
    assert_eq!(registry.versions(&name("digits")).await.expect("listed").len(), 2);
    fill_up(&store, &registry).await;
    println!("the disk was full");
}

/// Without a byte left, not even a row can be written; what was there stays readable.
async fn fill_up(store: &Path, registry: &Registry) {
    if !take_all_space(&store.join("filler")) {
        return; // Not a small file system but a limit on file sizes: the rest does not apply.
    }
    let mut errors = Vec::new();
    for turn in 0..40 {
        let outcome = registry.promote(promotion("live", 1 + turn % 2)).await;
        errors.extend(outcome.err().map(|error| error.kind()));
    }
    assert!(!errors.is_empty(), "the disk was never full");
    assert!(errors.iter().all(|kind| *kind == ErrorKind::ResourceExhausted), "{errors:?}");
    let error = registry.publish(digits("no room")).await.expect_err("full");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error:?}");
    assert_eq!(registry.versions(&name("digits")).await.expect("still readable").len(), 2);

    registry.close().await;
    assert!(take_all_space(&store.join("more")));
    if let Err(error) = Registry::open(store, clock()).await {
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error:?}");
    }
}

/// Returns whether it was the space that came to an end.
fn take_all_space(file: &Path) -> bool {
    use std::io::Write;
    let mut filler = std::fs::File::create(file).expect("created");
    loop {
        match filler.write_all(&[0; 512]) {
            Ok(()) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::StorageFull,
        }
    }
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |mut command: Command| {
        let output = command.stderr(Stdio::piped()).output().expect("the shell is there");
        (
            output.status.success(),
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(),
        )
    };
    let child = child("disk_full::child_fills_the_disk", folder.path(), "full");
    let mounting = "mount -t tmpfs -o size=2m tmpfs \"$REGISTRY_TEST_STORE\" || exit 75; exec \"$@\"";
    let mut tiny = in_shell(&child, &["unshare", "--user", "--map-root-user", "--mount"], mounting);
    tiny.current_dir(folder.path());
    let (done, output) = run(tiny);
    if done || output.contains("child_fills_the_disk") {
        assert!(done && output.contains("the disk was full"), "{output}");
        return;
    }
    println!("no file system of our own ({}), so a limit on file sizes stands in", output.trim());
    let (done, output) = run(in_shell(&child, &[], "trap '' XFSZ; ulimit -f 1000; exec \"$@\""));
    assert!(done && output.contains("the disk was full"), "{output}");
}

/// The child's command line and environment behind a shell script that ends in `exec "$@"`.
fn in_shell(child: &Command, before: &[&str], script: &str) -> Command {
    let mut words: Vec<&std::ffi::OsStr> = before.iter().map(std::ffi::OsStr::new).collect();
    words.extend(["sh", "-c", script, "sh"].map(std::ffi::OsStr::new));
    words.push(child.get_program());
    words.extend(child.get_args());
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    for (key, value) in child.get_envs() {
        command.env(key, value.expect("only set, never removed"));
    }
    command
}
