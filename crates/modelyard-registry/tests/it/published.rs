//! Publishing, finding and listing.

use modelyard_registry::{Manifest, Origin, Registry, RegistryError};
use modelyard_types::{ErrorKind, Version};

use crate::support::{
    clock, digits, folders, live, name, new, number, open, promotion, store, store_with, v,
};

#[tokio::test]
async fn what_was_published_is_found_and_loaded() {
    let (_folder, registry) = store().await;
    let published = registry.publish(digits("hello")).await.expect("published");
    assert_eq!(published.version, Version::FIRST);
    assert_eq!(
        (published.by.as_str(), published.origin, published.gates_passed),
        ("anna", Origin::Trained, true)
    );
    assert!(published.created_unix_ms >= 1_700_000_000_000);
    let manifest = Manifest::of(&digits("hello").files).expect("good names");
    assert_eq!((published.digest.clone(), published.size_bytes()), (manifest.digest(), 5 + 11));

    let found = registry.find(&name("digits"), &number(1)).await.expect("found");
    assert_eq!(found, published);
    let files = registry.load(&found).await.expect("loads");
    assert_eq!(files.get("card.md").map(|bytes| bytes.as_ref()), Some(b"hello".as_slice()));
    assert_eq!(files.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["card.md", "model.onnx"]);
    assert_eq!(files.get("manifest.json"), None);
    assert!(registry.load_file(&found, "card.md").await.expect("loads").is_some());
    assert!(registry.load_file(&found, "network.json").await.expect("no such file").is_none());
}

#[tokio::test]
async fn a_store_reopens_with_all_it_had() {
    let (folder, registry) = store_with(3).await;
    registry.promote(promotion("live", 2)).await.expect("moved");
    let (before, revision) = (registry.versions(&name("digits")).await, registry.revision().await);
    registry.close().await;
    let registry = open(folder.path()).await;
    assert_eq!(registry.versions(&name("digits")).await.expect("listed"), before.expect("listed"));
    assert_eq!(registry.revision().await.expect("read"), revision.expect("read"));
    assert_eq!(registry.find(&name("digits"), &live()).await.expect("found").version, v(2));
}

#[tokio::test]
async fn listings_show_models_versions_and_aliases() {
    let (_folder, registry) = store_with(2).await;
    registry.publish(new("pumps", &[("model.onnx", b"x")])).await.expect("published");
    registry.promote(promotion("live", 1)).await.expect("moved");
    registry.promote(promotion("canary", 1)).await.expect("moved");
    let models = registry.models().await.expect("listed");
    let shown: Vec<String> = models
        .iter()
        .map(|m| format!("{} {} {} {:?}", m.name, m.versions, m.latest, m.aliases.len()))
        .collect();
    assert_eq!(shown, ["digits 2 2 2", "pumps 1 1 0"]);
    let versions = registry.versions(&name("digits")).await.expect("listed");
    let aliases = |at: usize| versions[at].aliases.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!((aliases(0), aliases(1)), (vec!["canary".to_owned(), "live".to_owned()], vec![]));
    assert_eq!(models[0].latest_created_unix_ms, versions[1].created_unix_ms);
    assert_eq!(versions[0].files.len(), 2);
}

#[tokio::test]
async fn the_same_content_is_recognised() {
    let (folder, registry) = store_with(2).await;
    let revision = registry.revision().await.expect("read");
    let again = registry.publish(digits("version 1")).await.expect("known");
    assert_eq!(again.version, Version::FIRST);
    assert_eq!(registry.revision().await.expect("read"), revision, "nothing has changed");
    assert_eq!(crate::support::folders(folder.path()).len(), 2);
    // Another model may have the same content as its own version.
    let other = new("other", &[("card.md", b"version 1"), ("model.onnx", b"same in all")]);
    let other = registry.publish(other).await.expect("published");
    assert_eq!((other.version, other.digest), (Version::FIRST, again.digest));
}

#[tokio::test]
async fn a_parent_is_kept_and_must_exist() {
    let (_folder, registry) = store_with(1).await;
    let mut child = digits("child");
    child.parent = Some(Version::FIRST);
    assert_eq!(registry.publish(child.clone()).await.expect("published").parent, Some(Version::FIRST));
    child.parent = Some(v(9));
    child.files.insert("more".to_owned(), vec![1]);
    let error = registry.publish(child).await.expect_err("no such parent");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert_eq!(error.to_string(), "digits has no version 9 to be the parent of a new one");
}

#[tokio::test]
async fn files_that_cannot_make_a_version_are_refused() {
    let (folder, registry) = store().await;
    for files in [&[][..], &[("../../evil", b"x".as_slice())], &[("manifest.json", b"{}")]] {
        let error = registry.publish(new("digits", files)).await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(crate::support::folders(folder.path()).is_empty());
}

#[tokio::test]
async fn unknown_names_are_told_with_the_nearest() {
    let (_folder, registry) = store_with(2).await;
    let error = registry.find(&name("digts"), &number(1)).await.expect_err("unknown");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "no model named \"digts\" is registered");
    assert_eq!(error.hint().as_deref(), Some("did you mean \"digits\"?"));
    let error = registry.versions(&name("entirely-else")).await.expect_err("unknown");
    assert!(matches!(error, RegistryError::NoSuchModel { nearest: None, .. }));
    let error = registry.find(&name("digits"), &number(7)).await.expect_err("unknown");
    assert_eq!((error.to_string().as_str(), error.kind()), ("digits has no version 7", ErrorKind::NotFound));
    assert_eq!(error.hint().as_deref(), Some("the newest version is 2"));
    let error = registry.find(&name("digits"), &live()).await.expect_err("unknown");
    assert_eq!(error.to_string(), "digits has no alias \"live\"");
    for result in [
        registry.find(&name("nope"), &live()).await.map(drop),
        registry.history(&name("nope")).await.map(drop),
        registry.verify(&name("nope"), &number(1)).await.map(drop),
        registry.compare(&name("nope"), &number(1), &number(2)).await.map(drop),
    ] {
        assert!(matches!(result, Err(RegistryError::NoSuchModel { .. })));
    }
}

#[tokio::test]
async fn a_path_that_cannot_be_a_store_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("store");
    std::fs::write(&file, "text").expect("written");
    let error = Registry::open(&file, clock()).await.expect_err("a file");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn the_folder_may_have_any_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for odd in ["with space", "100%20", "què?mode=ro", "a#1", "'quoted'\"", "new\nline"] {
        let path = folder.path().join(odd).join(".modelyard");
        let registry = open(&path).await;
        let published = registry.publish(digits("hello")).await.expect(odd);
        registry.collect().await.expect(odd);
        assert!(registry.load(&published).await.is_ok(), "{odd:?}");
        assert!(path.join("store.db").is_file(), "{odd:?}");
    }
}

#[tokio::test]
async fn names_that_differ_by_case_only_are_refused() {
    let (folder, registry) = store_with(1).await;
    let error = registry.publish(new("Digits", &[("card.md", b"x")])).await.expect_err("taken");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("digits") && error.to_string().contains("Digits"), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("\"digits\"")), "{:?}", error.hint());
    assert_eq!(folders(folder.path()).len(), 1);
}
