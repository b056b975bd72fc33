//! The store on a full disk: writes fail, but reads continue, no acknowledged write is lost, and writes
//! work again when there is free space.
//!
//! The disk is a small tmpfs, mounted in a separate namespace in which the test runs itself again.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{OWN_MOUNTS, is_beneath, this_test};
use shibudb::store::{Durability, Outcome, Space, Store, Write};

#[test]
fn a_full_disk_stops_writes_until_there_is_space_again() {
    if !is_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let disk = tempfile::tempdir().unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=200m", "none"]).arg(disk.path());
    assert!(mount.status().unwrap().success());
    tokio::runtime::Runtime::new().unwrap().block_on(on_a_small_disk(disk.path()));
    assert!(Command::new("umount").arg(disk.path()).status().unwrap().success());
}

/// A failed creation of a store does not prevent a later one.
fn first_start_on_a_full_disk(disk: &Path) {
    let (dir, filler) = (disk.join("first"), disk.join("filler"));
    let mut refused = 0;
    for left in [8, 24, 40, 64, 128, 512, 2048] {
        let free = rustix::fs::statvfs(disk).unwrap();
        let size = (free.f_bavail * free.f_frsize).saturating_sub(left << 10);
        fs::write(&filler, vec![1; usize::try_from(size).unwrap()]).unwrap();
        refused += usize::from(Store::open(&dir, Durability::Always).is_err());
        fs::remove_file(&filler).unwrap();
    }
    assert!(refused > 0, "there was always room");
    drop(Store::open(&dir, Durability::Always).unwrap());
    fs::remove_dir_all(&dir).unwrap();
}

async fn on_a_small_disk(disk: &Path) {
    first_start_on_a_full_disk(disk);
    let dir = disk.join("data");
    let filler = disk.join("filler");
    let mut store = Store::open(&dir, Durability::Always).unwrap();
    store.create_space("a", true).await.unwrap();
    let mut acknowledged = BTreeMap::new();
    // Filled to different amounts, so that different writers of the engine hit the limit.
    for (round, filler_size) in [150, 100, 130, 80].into_iter().enumerate() {
        let mut space = store.space("a").unwrap();
        // As much of it as fits: the store may be deleting files at this moment.
        fs::write(&filler, vec![1; filler_size << 20]).ok();
        let mut n = 0;
        let refused = loop {
            let key = format!("{}", n % 100);
            let value = value(round, n);
            match put(&store, &space, &key, &value).await {
                Ok(()) => {
                    acknowledged.insert(key, value);
                }
                Err(error) => break error,
            }
            n += 1;
        };
        eprintln!("round {round}: {n} writes, then: {refused}");
        check_all(&store, &space, &acknowledged);
        assert!(put(&store, &space, "refused", b"x").await.is_err());
        check_all(&store, &space, &acknowledged);

        if round == 2 {
            store.close().ok();
            store = Store::open(&dir, Durability::Always).unwrap();
            space = store.space("a").unwrap();
            check_all(&store, &space, &acknowledged);
        }
        fs::remove_file(&filler).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Err(error) = put(&store, &space, "after", b"y").await {
            assert!(Instant::now() < deadline, "writes do not come back: {error}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        check_all(&store, &space, &acknowledged);
    }
    store.close().unwrap();
    let store = Store::open(&dir, Durability::Always).unwrap();
    check_all(&store, &store.space("a").unwrap(), &acknowledged);
}

/// Begins with its round and number; the rest is incompressible.
fn value(round: usize, n: u32) -> Vec<u8> {
    let mut value = format!("{round}/{n}/").into_bytes();
    let mut random = u64::from(n) + 1;
    while value.len() < 100_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        value.extend(random.to_le_bytes());
    }
    value
}

async fn put(store: &Store, space: &Space, key: &str, value: &[u8]) -> Result<(), String> {
    let write = Write { space: space.clone(), key: key.into(), value: Some(value.into()) };
    let outcomes = store.write(vec![write]).await.map_err(|error| error.to_string())?;
    assert_eq!(outcomes, [Outcome::Stored]);
    Ok(())
}

/// A refused write may have taken effect, but no acknowledged one may be missing or replaced by an older value.
fn check_all(store: &Store, space: &Space, acknowledged: &BTreeMap<String, Vec<u8>>) {
    for (key, value) in acknowledged {
        let found = store.get(space, key.as_bytes()).unwrap().unwrap();
        assert!(
            *found == **value || is_later(&found, value),
            "{key}: {:?} instead of {:?}",
            &found[..20],
            &value[..20]
        );
    }
}

/// Compares the round and the number at the beginning of values.
fn is_later(found: &[u8], acknowledged: &[u8]) -> bool {
    let order = |value: &[u8]| -> (u32, u32) {
        let parts = value.split(|&byte| byte == b'/');
        let mut parts = parts.map(|part| str::from_utf8(part).unwrap().parse().unwrap());
        (parts.next().unwrap(), parts.next().unwrap())
    };
    order(found) > order(acknowledged)
}
