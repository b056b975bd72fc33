//! The guarantees of the store to readers and writers.

mod disk_full;
mod journal;
mod readers;
mod submissions;
mod whole;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use shibudb::store::{
    Durability, InvalidName, MAX_KEY_LEN, OpenError, Outcome, Space, SpaceError, Store, StoreError, Write,
};
use tempfile::TempDir;

fn open(dir: &Path) -> Store {
    Store::open(dir, Durability::Always).unwrap()
}

async fn with_space(name: &str) -> (TempDir, Store, Space) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.create_space(name, true).await.unwrap();
    let space = store.space(name).unwrap();
    (dir, store, space)
}

fn put(space: &Space, key: &str, value: &str) -> Write {
    Write { space: space.clone(), key: key.into(), value: Some(value.into()) }
}

fn delete(space: &Space, key: &str) -> Write {
    Write { space: space.clone(), key: key.into(), value: None }
}

fn get(store: &Store, space: &Space, key: &str) -> Option<String> {
    store.get(space, key.as_bytes()).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// Waits until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn disk_usage(dir: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        // Files are created and deleted meanwhile.
        let Ok(entry) = entry else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        let journal = entry.path().extension().is_some_and(|extension| extension == "jnl");
        sum += match metadata.is_dir() {
            true => disk_usage(&entry.path()),
            false if journal => 0,
            false => metadata.len(),
        };
    }
    sum
}

#[tokio::test]
async fn what_was_put_is_read_until_it_is_deleted() {
    let (_dir, store, space) = with_space("a").await;
    assert_eq!(get(&store, &space, "k"), None);
    assert_eq!(store.write(vec![put(&space, "k", "v")]).await.unwrap(), [Outcome::Stored]);
    assert_eq!(get(&store, &space, "k").as_deref(), Some("v"));
    assert_eq!(store.write(vec![delete(&space, "k")]).await.unwrap(), [Outcome::Deleted]);
    assert_eq!(get(&store, &space, "k"), None);
    assert_eq!(store.write(vec![delete(&space, "k")]).await.unwrap(), [Outcome::NotFound]);
}

#[tokio::test]
async fn a_submission_is_applied_in_order_and_sees_itself() {
    use Outcome::{Deleted, NotFound, Stored};
    let (_dir, store, space) = with_space("a").await;
    let writes = vec![
        delete(&space, "k"),
        put(&space, "k", "1"),
        put(&space, "k", "2"),
        delete(&space, "k"),
        delete(&space, "k"),
        put(&space, "k", "3"),
    ];
    assert_eq!(store.write(writes).await.unwrap(), [NotFound, Stored, Stored, Deleted, NotFound, Stored]);
    assert_eq!(get(&store, &space, "k").as_deref(), Some("3"));
    let deletes = vec![delete(&space, "k"), delete(&space, "k")];
    assert_eq!(store.write(deletes).await.unwrap(), [Deleted, NotFound]);
    assert_eq!(store.write(Vec::new()).await.unwrap(), []);
}

#[tokio::test]
async fn the_extremes_of_keys_and_values_are_kept() {
    let (dir, store, space) = with_space("a").await;
    let entries = [
        (Vec::new(), b"empty key".to_vec()),
        (b"empty value".to_vec(), Vec::new()),
        (vec![0; MAX_KEY_LEN], vec![1; 1 << 20]),
        (vec![255; 300], vec![0; 70_000]),
    ];
    for (key, value) in &entries {
        let write = Write { space: space.clone(), key: key.clone(), value: Some(value.clone()) };
        assert_eq!(store.write(vec![write]).await.unwrap(), [Outcome::Stored]);
    }
    store.close().unwrap();
    let store = open(dir.path());
    let space = store.space("a").unwrap();
    for (key, value) in &entries {
        assert_eq!(*store.get(&space, key).unwrap().unwrap(), **value);
    }
    let key = vec![0; MAX_KEY_LEN + 1];
    assert_eq!(store.get(&space, &key).unwrap(), None);
    let long = |value| Write { space: space.clone(), key: key.clone(), value };
    let outcomes = store.write(vec![long(Some(Vec::new())), long(None)]).await.unwrap();
    assert_eq!(outcomes, [Outcome::KeyTooLong, Outcome::NotFound]);
}

#[tokio::test]
async fn spaces_do_not_see_each_other() {
    let (_dir, store, a) = with_space("a").await;
    store.create_space("b", true).await.unwrap();
    let b = store.space("b").unwrap();
    store.write(vec![put(&a, "k", "of a")]).await.unwrap();
    assert_eq!(get(&store, &b, "k"), None);
    assert_eq!(store.write(vec![delete(&b, "k")]).await.unwrap(), [Outcome::NotFound]);
    assert_eq!(get(&store, &a, "k").as_deref(), Some("of a"));
}

#[tokio::test]
async fn spaces_and_keys_survive_a_restart() {
    let (dir, store, space) = with_space("a").await;
    store.create_space("z", false).await.unwrap();
    store.create_space("gone", true).await.unwrap();
    store.write(vec![put(&space, "k", "v")]).await.unwrap();
    store.delete_space("gone").await.unwrap();
    store.close().unwrap();

    let store = open(dir.path());
    let spaces: Vec<_> = store.spaces().iter().map(|space| (space.name().to_owned(), space.wal())).collect();
    assert_eq!(spaces, [("a".to_owned(), true), ("z".to_owned(), false)]);
    assert_eq!(get(&store, &store.space("a").unwrap(), "k").as_deref(), Some("v"));
}

#[tokio::test]
async fn a_space_made_anew_is_empty_and_old_handles_stay_dead() {
    let (dir, store, old) = with_space("a").await;
    store.write(vec![put(&old, "k", "v")]).await.unwrap();
    store.delete_space("a").await.unwrap();
    assert!(store.space("a").is_none());
    store.create_space("a", true).await.unwrap();

    assert!(matches!(store.get(&old, b"k"), Err(StoreError::NoSuchSpace)));
    let new = store.space("a").unwrap();
    let outcomes = store.write(vec![put(&old, "k", "lost"), put(&new, "n", "v")]).await.unwrap();
    assert_eq!(outcomes, [Outcome::NoSuchSpace, Outcome::Stored]);
    assert_eq!(get(&store, &new, "k"), None);
    store.close().unwrap();
    let store = open(dir.path());
    let new = store.space("a").unwrap();
    assert_eq!((get(&store, &new, "k"), get(&store, &new, "n").as_deref()), (None, Some("v")));
}

#[tokio::test]
async fn creating_and_deleting_says_what_is_wrong() {
    let (_dir, store, _space) = with_space("a").await;
    assert_eq!(store.create_space("a", true).await.unwrap_err().to_string(), "space already exists");
    assert_eq!(store.delete_space("b").await.unwrap_err().to_string(), "space does not exist");
    for (name, error) in [
        ("", InvalidName::Empty),
        (&"ä".repeat(128), InvalidName::TooLong),
        ("a\0b", InvalidName::NotVisible),
        ("a\nb", InvalidName::NotVisible),
        ("\u{7f}", InvalidName::NotVisible),
        ("a\u{202e}b", InvalidName::NotVisible),
        ("a\u{200b}", InvalidName::NotVisible),
        (" a", InvalidName::Padded),
        ("a\u{2003}", InvalidName::Padded),
        (".", InvalidName::Path),
        ("..", InvalidName::Path),
        ("../a", InvalidName::Path),
        ("a\\b", InvalidName::Path),
    ] {
        let refused = store.create_space(name, true).await.unwrap_err();
        assert!(matches!(refused, SpaceError::InvalidName(found) if found == error), "{name:?}: {refused}");
    }
    let alike = store.create_space("\u{430}", true).await.unwrap_err();
    assert_eq!(alike.to_string(), "space name can be mistaken for \"a\", which exists");
    for name in [&"ä".repeat(127), "Größe 大きさ", "a.b", "…", "👩‍🚀"] {
        // The astronaut is two faces joined by an invisible character.
        let allowed = !name.contains('\u{200d}');
        assert_eq!(store.create_space(name, true).await.is_ok(), allowed, "{name}");
    }
}

#[tokio::test]
async fn a_deleted_spaces_disk_space_comes_back_and_others_stay() {
    let (dir, store, small) = with_space("small").await;
    store.create_space("large", true).await.unwrap();
    let large = store.space("large").unwrap();
    store.write(vec![put(&small, "k", "v")]).await.unwrap();
    let mut random = 1u64;
    for batch in 0..40 {
        let writes = (0..16)
            .map(|i| {
                // Incompressible bytes.
                let value = std::iter::repeat_with(|| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random.to_le_bytes()
                });
                let value = value.take(8192).flatten().collect();
                Write { space: large.clone(), key: format!("{batch}/{i}").into(), value: Some(value) }
            })
            .collect();
        store.write(writes).await.unwrap();
    }
    until("tables are written", || disk_usage(dir.path()) > 20 << 20).await;
    store.delete_space("large").await.unwrap();
    until("the space is given back", || disk_usage(dir.path()) < 1 << 20).await;
    assert_eq!(get(&store, &small, "k").as_deref(), Some("v"));
    store.close().unwrap();
    let store = open(dir.path());
    assert_eq!(get(&store, &store.space("small").unwrap(), "k").as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn spaces_come_and_go_under_those_who_use_them() {
    let (_dir, store, _space) = with_space("a").await;
    let users: Vec<_> = (0..4)
        .map(|user| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut stored = 0;
                for round in 0..200 {
                    let Some(space) = store.space("a") else { continue };
                    let key = format!("{user}/{round}");
                    match store.write(vec![put(&space, &key, &key)]).await.unwrap()[..] {
                        [Outcome::Stored] => stored += 1,
                        [Outcome::NoSuchSpace] => continue,
                        ref other => panic!("{other:?}"),
                    }
                    match store.get(&space, key.as_bytes()) {
                        Ok(value) => assert_eq!(value.as_deref(), Some(key.as_bytes())),
                        Err(StoreError::NoSuchSpace) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                stored
            })
        })
        .collect();
    for _ in 0..30 {
        store.delete_space("a").await.unwrap();
        store.create_space("a", true).await.unwrap();
    }
    for user in users {
        user.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_writers_of_one_key_leave_one_of_their_values() {
    let (_dir, store, space) = with_space("a").await;
    let writers: Vec<_> = (0..64)
        .map(|writer| {
            let (store, space) = (store.clone(), space.clone());
            tokio::spawn(async move {
                for round in 0..10 {
                    let own = format!("own {writer}");
                    let value = format!("{writer}.{round}");
                    store
                        .write(vec![put(&space, "shared", &value), put(&space, &own, &value)])
                        .await
                        .unwrap();
                    assert_eq!(get(&store, &space, &own), Some(value));
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(get(&store, &space, "shared").unwrap().ends_with(".9"));
}

#[tokio::test]
async fn the_system_area_is_apart_and_survives() {
    let (dir, store, _space) = with_space("a").await;
    store.system_put(b"b", b"2".to_vec()).await.unwrap();
    store.system_put(b"a", b"1".to_vec()).await.unwrap();
    store.system_put(b"c", b"3".to_vec()).await.unwrap();
    store.system_delete(b"c").await.unwrap();
    store.system_delete(b"never there").await.unwrap();
    let expected = [(b"a".to_vec(), b"1".to_vec()), (b"b".to_vec(), b"2".to_vec())];
    assert_eq!(store.system_entries().unwrap(), expected);
    store.close().unwrap();
    assert_eq!(open(dir.path()).system_entries().unwrap(), expected);
}

#[tokio::test]
async fn a_directory_is_open_once() {
    let (dir, store, _space) = with_space("a").await;
    let error = Store::open(dir.path(), Durability::Always).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }));
    assert_eq!(
        error.to_string(),
        format!("data directory {} is in use by another process", dir.path().display())
    );
    drop(store);
    open(dir.path());
}

#[test]
fn a_directory_that_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Store::open(&file.join("data"), Durability::Always), Err(OpenError::NotUsable { .. })));
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let (_dir, store, space) = with_space("a").await;
    let other = store.clone();
    store.close().unwrap();
    assert!(matches!(other.get(&space, b"k"), Err(StoreError::Closed)));
    assert!(matches!(other.write(vec![put(&space, "k", "v")]).await, Err(StoreError::Closed)));
    assert!(matches!(other.create_space("b", true).await, Err(SpaceError::Store(StoreError::Closed))));
    other.close().unwrap();
}

#[tokio::test]
async fn without_a_sync_per_write_a_clean_close_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::EverySecond).unwrap();
    store.create_space("a", true).await.unwrap();
    store.create_space("b", false).await.unwrap();
    for name in ["a", "b"] {
        store.write(vec![put(&store.space(name).unwrap(), "k", name)]).await.unwrap();
    }
    store.close().unwrap();
    let store = open(dir.path());
    for name in ["a", "b"] {
        assert_eq!(get(&store, &store.space(name).unwrap(), "k").as_deref(), Some(name));
    }
}

#[tokio::test]
async fn many_keys_survive_flushes_and_compactions() {
    let (dir, store, space) = with_space("a").await;
    let mut model = BTreeMap::new();
    for round in 0..40u32 {
        let mut writes = Vec::new();
        for i in 0..400u32 {
            let key = format!("{}", (round * 7919 + i * 31) % 5000);
            if i % 5 == 0 {
                model.remove(&key);
                writes.push(delete(&space, &key));
            } else {
                let value = format!("{round}/{i}").repeat(400);
                model.insert(key.clone(), value.clone());
                writes.push(put(&space, &key, &value));
            }
        }
        store.write(writes).await.unwrap();
    }
    store.close().unwrap();
    let store = open(dir.path());
    let space = store.space("a").unwrap();
    for key in 0..5000 {
        let key = key.to_string();
        assert_eq!(get(&store, &space, &key).as_ref(), model.get(&key), "{key}");
    }
}
