//! A process that publishes is killed at a random moment, again and again: every version that is listed
//! afterwards is whole, and what was half there is collected.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use modelyard_registry::{Collected, Registry};

use crate::support::{assert_whole, folders, name, new, open};
use crate::together::{child, told};

const ROUNDS: u64 = 30;
const SEED: u64 = 0x5eed_2026;

#[tokio::test]
async fn child_publishes_until_killed() {
    let Some((store, label)) = told() else { return };
    let registry = open(&store).await;
    for number in 0u64.. {
        let weights = format!("{label} {number} ").repeat(8_000);
        let files: Vec<(String, Vec<u8>)> =
            (0..5).map(|file| (format!("file-{file}.bin"), weights.clone().into_bytes())).collect();
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        registry.publish(new("digits", &files)).await.expect("published");
        println!("published {label}");
    }
}

#[tokio::test]
async fn killed_at_any_moment_a_version_is_whole_or_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut random = SEED;
    let (mut acknowledged, mut leftovers) = (0, 0);
    for round in 0..ROUNDS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        acknowledged += publish_and_kill(folder.path(), round, random >> 33);
        let before = folders(folder.path()).len();
        let registry = open(folder.path()).await;
        let context = format!("seed {SEED:#x}, round {round}");
        // Opening has collected already; nothing is left for a second time.
        assert_eq!(collect(&registry).await, Collected::Removed(Vec::new()), "{context}");
        assert_whole(&registry, &context).await;
        let listed = registry.versions(&name("digits")).await.map_or(0, |versions| versions.len());
        assert!(listed >= acknowledged, "{context}: {listed} versions, {acknowledged} acknowledged");
        leftovers += before - listed;
        registry.close().await;
    }
    assert!(acknowledged > 0, "no child ever published");
    assert!(leftovers > 0, "no kill ever hit a half published version");
}

/// Collects once nobody publishes. A child that another test of this process is about to start holds, for the moment
/// between its fork and its own program, every lock that is held here.
async fn collect(registry: &Registry) -> Collected {
    for _ in 0..10_000 {
        match registry.collect().await.expect("collected") {
            Collected::Publishing => tokio::task::yield_now().await,
            removed @ Collected::Removed(_) => return removed,
        }
    }
    Collected::Publishing
}

/// Returns how many versions the child had acknowledged when it was killed.
fn publish_and_kill(store: &std::path::Path, round: u64, random: u64) -> usize {
    let mut command = child("killed::child_publishes_until_killed", store, &round.to_string());
    let mut running = command.stdout(Stdio::piped()).spawn().expect("the child starts");
    let output = BufReader::new(running.stdout.take().expect("piped"));
    let (sender, lines) = channel();
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok).filter(|line| line.contains("published")) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    // Up to three publishings, then some fraction of the next one. The moment is the test's input.
    let mut acknowledged = 0;
    for _ in 0..random % 4 {
        lines.recv().expect("the child publishes until it is killed");
        acknowledged += 1;
    }
    let moment = Duration::from_micros(random / 4 % 40_000);
    loop {
        match lines.recv_timeout(moment) {
            Ok(_) => acknowledged += 1,
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => unreachable!("the child ended by itself"),
        }
        if acknowledged >= 8 {
            break;
        }
    }
    running.kill().expect("our child");
    running.wait().expect("our child");
    reader.join().expect("the reader ends with the child");
    acknowledged + lines.try_iter().count()
}
