//! What the store makes of a journal that a crash or the disk has damaged.

use std::path::PathBuf;

use super::*;

/// The newest journal, and where the entry of `value` is in it.
fn find_in_journal(dir: &Path, value: &[u8]) -> (PathBuf, Vec<u8>, usize) {
    let journal = dir.join("store/0.jnl");
    let content = std::fs::read(&journal).unwrap();
    let position = content.windows(value.len()).position(|window| window == value).unwrap();
    (journal, content, position)
}

#[tokio::test]
async fn a_last_write_torn_by_a_power_failure_is_cut_off() {
    let (dir, store, space) = with_space("a").await;
    store.write(vec![put(&space, "kept", "first value")]).await.unwrap();
    store.write(vec![put(&space, "torn", "second value")]).await.unwrap();
    store.close().unwrap();
    let (journal, mut content, at) = find_in_journal(dir.path(), b"second value");
    content[at..at + 6].fill(0);
    std::fs::write(&journal, content).unwrap();

    let store = open(dir.path());
    let space = store.space("a").unwrap();
    assert_eq!(get(&store, &space, "kept").as_deref(), Some("first value"));
    assert_eq!(get(&store, &space, "torn"), None);
    assert!(journal.with_extension("damaged").exists());
    store.write(vec![put(&space, "torn", "again")]).await.unwrap();
    store.close().unwrap();
    let store = open(dir.path());
    assert_eq!(get(&store, &store.space("a").unwrap(), "torn").as_deref(), Some("again"));
}

#[tokio::test]
async fn damage_before_intact_writes_is_refused_and_nothing_is_cut() {
    let (dir, store, space) = with_space("a").await;
    store.write(vec![put(&space, "damaged", "first value")]).await.unwrap();
    store.write(vec![put(&space, "intact", "second value")]).await.unwrap();
    store.close().unwrap();
    let (journal, mut content, at) = find_in_journal(dir.path(), b"first value");
    content[at] ^= 1;
    std::fs::write(&journal, &content).unwrap();

    let error = Store::open(dir.path(), Durability::Always).unwrap_err();
    assert!(matches!(error, OpenError::Engine { .. }), "{error}");
    assert_eq!(std::fs::read(&journal).unwrap(), content);
}
