//! Routes: changed at once, undone like an undo, withdrawn only by who saw the newest.

use modelyard_registry::document::{Canary, Guard, Route, Shadow};
use modelyard_registry::{GateRule, NewRoute, RouteChangeKind};
use modelyard_types::{Caller, ErrorKind};

use crate::support::{anna, digits, name, new, open, store_with, v};

fn canary(version: u64, percent: f64) -> Route {
    let canary = Canary { version: v(version), percent, sticky: None, guard: Guard::default() };
    Route { canary: Some(canary), ..Route::default() }
}

fn wish(route: Route) -> NewRoute {
    let (by, why) = (anna(), "a try".to_owned());
    NewRoute { name: name("digits"), route, gates: GateRule::MustPass, by, why }
}

#[tokio::test]
async fn a_route_is_changed_and_undone_step_by_step() {
    let (folder, registry) = store_with(3).await;
    let digits = name("digits");
    assert_eq!(registry.route(&digits).await.expect("read"), None);
    assert_eq!(registry.set_route(wish(Route::default())).await.expect("the same"), None);
    let nothing = registry.rollback_route(&digits, &anna(), "").await.expect_err("nothing to undo");
    assert_eq!(nothing.kind(), ErrorKind::FailedPrecondition);

    let revision = registry.revision().await.expect("read");
    let first = registry.set_route(wish(canary(2, 5.0))).await.expect("set").expect("it changed");
    assert!(registry.revision().await.expect("read") > revision, "running servers see it");
    let again = registry.set_route(wish(canary(2, 5.0))).await.expect("the same");
    assert_eq!(again.as_ref(), Some(&first), "nothing changes");
    let shadow = Some(Shadow { version: v(3), percent: 100.0, tolerance: None });
    registry.set_route(wish(Route { shadow, ..canary(2, 50.0) })).await.expect("set");

    let undone = registry.rollback_route(&digits, &anna(), "too many wrong").await.expect("undone");
    assert_eq!((undone.kind, &undone.route), (RouteChangeKind::Rollback, &canary(2, 5.0)));
    let empty = registry.rollback_route(&digits, &anna(), "").await.expect("undone");
    assert!(empty.route.is_empty());
    assert!(registry.rollback_route(&digits, &anna(), "").await.is_err(), "no further");
    registry.close().await;

    let registry = open(folder.path()).await;
    let history = registry.route_history(&digits).await.expect("listed");
    let kinds: Vec<&str> = history.iter().map(|change| change.kind.as_str()).collect();
    assert_eq!(kinds, ["rollback", "rollback", "set", "set"]);
    assert_eq!((history[1].by.as_str(), history[1].why.as_str()), ("anna", "too many wrong"));
}

#[tokio::test]
async fn a_canary_is_withdrawn_only_from_the_route_that_was_judged() {
    let (_folder, registry) = store_with(3).await;
    let (digits, server) = (name("digits"), Caller("server".to_owned()));
    let judged = registry.set_route(wish(canary(2, 5.0))).await.expect("set").expect("it changed");
    let newer = registry.set_route(wish(canary(3, 5.0))).await.expect("set").expect("it changed");
    let late = registry.withdraw_canary(&digits, judged.id, &server, "errors").await.expect("read");
    assert_eq!(late, None, "another canary must not suffer for it");
    let done = registry.withdraw_canary(&digits, newer.id, &server, "errors").await.expect("written");
    let done = done.expect("it is the newest");
    assert_eq!((done.kind, done.route.is_empty()), (RouteChangeKind::Withdrawal, true));
    assert_eq!(registry.route(&digits).await.expect("read"), Some(done));
    let back = registry.rollback_route(&digits, &anna(), "it was the network").await.expect("undone");
    assert_eq!(back.route, canary(3, 5.0), "a withdrawal is undone like any change");
}

#[tokio::test]
async fn what_cannot_answer_stands_in_no_route() {
    let (_folder, registry) = store_with(1).await;
    let mut poor = digits("poor");
    poor.gates_passed = false;
    registry.publish(poor).await.expect("published");
    let refused = registry.set_route(wish(canary(2, 5.0))).await.expect_err("it missed a gate");
    assert_eq!(refused.to_string(), "version 2 of digits missed a gate, so it answers no requests");
    assert!(refused.hint().is_some_and(|hint| hint.contains("--force")));
    let forced = NewRoute { gates: GateRule::Override, ..wish(canary(2, 5.0)) };
    assert!(registry.set_route(forced).await.expect("forced").is_some());
    let shadow = Some(Shadow { version: v(2), percent: 10.0, tolerance: None });
    let shadowed = registry.set_route(wish(Route { shadow, ..Route::default() })).await;
    assert!(shadowed.expect("a shadow answers nobody").is_some());

    let missing = registry.set_route(wish(canary(9, 5.0))).await.expect_err("there is none");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let unknown = NewRoute { name: name("digit"), ..wish(canary(1, 5.0)) };
    let unknown = registry.set_route(unknown).await.expect_err("there is none");
    assert_eq!(unknown.hint().as_deref(), Some("did you mean \"digits\"?"));
    let absurd = registry.set_route(wish(canary(1, 120.0))).await.expect_err("absurd");
    assert_eq!(absurd.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_model_that_lies_elsewhere_has_routes_and_a_history() {
    let (folder, registry) = store_with(1).await;
    let (other, of_other) = (name("other"), |route| NewRoute { name: name("other"), ..wish(route) });
    let live = Route { live: Some(v(1)), ..Route::default() };
    let pinned = registry.set_route_elsewhere(of_other(live.clone())).await.expect("set");
    let tried = Route { live: live.live, ..canary(2, 5.0) };
    let tried = registry.set_route_elsewhere(of_other(tried)).await.expect("set").expect("it changed");
    let withdrawn = registry.withdraw_canary(&other, tried.id, &anna(), "slow").await.expect("written");
    assert_eq!(withdrawn.map(|change| change.route), Some(live.clone()), "what is live stays so");
    registry.close().await;

    let registry = open(folder.path()).await;
    let back = registry.rollback_route(&other, &anna(), "").await.expect("undone");
    assert_eq!(back.route, tried.route);
    assert_eq!(registry.route_history(&other).await.expect("listed").len(), 4);
    let listed = registry.routes_elsewhere().await.expect("listed");
    let listed: Vec<_> = listed.into_iter().map(|(name, change)| (name, change.expect("whole"))).collect();
    assert_eq!(listed, [(other.clone(), back)]);
    assert!(pinned.is_some_and(|pinned| pinned.route == live));

    let registered = registry.set_route_elsewhere(wish(canary(1, 5.0))).await.expect_err("it is registered");
    assert_eq!(registered.kind(), ErrorKind::InvalidArgument);
    let published =
        registry.publish(new("other", &[("model.onnx", b"x")])).await.expect_err("it has a route");
    assert!(published.to_string().contains("has a route in this store"), "{published}");
    let cleared = registry.set_route(of_other(Route::default())).await.expect("known by its route");
    assert!(cleared.is_some_and(|change| change.route.is_empty()));
    registry.publish(new("other", &[("model.onnx", b"x")])).await.expect("its name is free");
    assert!(registry.routes_elsewhere().await.expect("listed").is_empty());
    let live = registry.set_route(of_other(live)).await.expect_err("an alias says that");
    assert_eq!(live.kind(), ErrorKind::InvalidArgument);
}
