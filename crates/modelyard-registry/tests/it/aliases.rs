//! Moving aliases, walking back, and the history of both.

use modelyard_registry::{GateRule, MoveKind, Registry};
use modelyard_types::{Alias, ErrorKind, Version};

use crate::support::{anna, digits, live, name, promotion, store_with, v};

async fn live_version(registry: &Registry) -> u64 {
    registry.find(&name("digits"), &live()).await.expect("live is there").version.get()
}

async fn roll_back(registry: &Registry) -> Result<u64, ErrorKind> {
    let moved = registry.rollback(&name("digits"), &Alias::live(), &anna(), "it was worse").await;
    moved.map(|moved| moved.to.get()).map_err(|error| error.kind())
}

#[tokio::test]
async fn rolling_back_walks_through_what_was_live() {
    let (_folder, registry) = store_with(5).await;
    for version in [1, 2, 3] {
        registry.promote(promotion("live", version)).await.expect("moved");
        assert_eq!(live_version(&registry).await, version);
    }
    assert_eq!(roll_back(&registry).await, Ok(2));
    assert_eq!(live_version(&registry).await, 2);
    registry.promote(promotion("live", 5)).await.expect("moved");
    // Back over the new one and over what was rolled back to, never forth to 3 again.
    assert_eq!(roll_back(&registry).await, Ok(2));
    assert_eq!(roll_back(&registry).await, Ok(1));
    assert_eq!(roll_back(&registry).await, Err(ErrorKind::FailedPrecondition));
    assert_eq!(live_version(&registry).await, 1);
}

#[tokio::test]
async fn the_first_promotion_has_nothing_before_it() {
    let (_folder, registry) = store_with(1).await;
    registry.promote(promotion("live", 1)).await.expect("moved");
    let error =
        registry.rollback(&name("digits"), &Alias::live(), &anna(), "").await.expect_err("nothing before");
    assert_eq!(error.to_string(), "live of digits points at version 1 and pointed at nothing before it");
    let canary: Alias = "canary".parse().expect("a good alias");
    let error = registry.rollback(&name("digits"), &canary, &anna(), "").await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.hint().as_deref(), Some("its aliases are live"));
}

#[tokio::test]
async fn history_tells_who_moved_what_from_where_and_why() {
    let (_folder, registry) = store_with(2).await;
    registry.promote(promotion("live", 1)).await.expect("moved");
    registry.promote(promotion("live", 2)).await.expect("moved");
    registry.promote(promotion("canary", 2)).await.expect("moved");
    assert_eq!(roll_back(&registry).await, Ok(1));
    let history = registry.history(&name("digits")).await.expect("listed");
    let lines: Vec<String> = history
        .iter()
        .map(|m| {
            let from = m.from.map_or("-".to_owned(), |from| from.to_string());
            format!("{} {} {from}->{} by {}: {}", m.kind.as_str(), m.alias, m.to, m.by, m.why)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "rollback live 2->1 by anna: it was worse",
            "promote canary -->2 by anna: version 2 is better",
            "promote live 1->2 by anna: version 2 is better",
            "promote live -->1 by anna: version 1 is better",
        ]
    );
    assert!(history.windows(2).all(|pair| pair[0].at_unix_ms > pair[1].at_unix_ms));
}

#[tokio::test]
async fn a_version_that_missed_a_gate_is_promoted_only_by_force() {
    let (_folder, registry) = store_with(1).await;
    let mut poor = digits("poor");
    poor.gates_passed = false;
    registry.publish(poor).await.expect("registered all the same");
    let error = registry.promote(promotion("live", 2)).await.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    assert_eq!(error.to_string(), "version 2 of digits missed a gate, so live was not moved to it");
    assert!(error.hint().expect("a way out").contains("--force"));
    assert!(registry.find(&name("digits"), &live()).await.is_err(), "nothing was moved");
    let mut forced = promotion("live", 2);
    forced.gates = GateRule::Override;
    assert_eq!(registry.promote(forced).await.expect("forced").to, v(2));
}

#[tokio::test]
async fn the_revision_moves_with_each_change_and_only_then() {
    let (_folder, registry) = store_with(2).await;
    let mut last = registry.revision().await.expect("read");
    registry.promote(promotion("live", 1)).await.expect("moved");
    for expect_change in [true, false] {
        let now = registry.revision().await.expect("read");
        assert_eq!(now > last, expect_change);
        last = now;
        // The second time it points there already.
        let moved = registry.promote(promotion("live", 1)).await.expect("there already");
        assert_eq!((moved.kind, moved.from, moved.to), (MoveKind::Promote, None, Version::FIRST));
    }
    assert_eq!(registry.history(&name("digits")).await.expect("listed").len(), 1);
    registry.publish(digits("new")).await.expect("published");
    assert!(registry.revision().await.expect("read") > last);
    let missing = registry.promote(promotion("live", 9)).await.expect_err("no such version");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}
