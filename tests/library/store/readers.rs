//! Readers during concurrent writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

const KEYS: usize = 4;

/// The state of a key shared by one writer and many readers.
struct Known {
    key: String,
    /// The last acknowledged value.
    acknowledged: AtomicU64,
}

fn number(store: &Store, space: &Space, key: &str) -> u64 {
    store
        .get(space, key.as_bytes())
        .unwrap()
        .map_or(0, |value| str::from_utf8(&value).unwrap().parse().unwrap())
}

/// Writers increase the values of a few keys, and sometimes delete one. Readers must never see a value go
/// back, nor one older than the last acknowledged before the read.
async fn no_reader_sees_a_value_go_back(durability: Durability, deletes: bool) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), durability).unwrap();
    store.create_space("a", true).await.unwrap();
    let space = store.space("a").unwrap();
    let known: Arc<Vec<_>> = Arc::new(
        (0..KEYS).map(|n| Known { key: format!("key {n}"), acknowledged: AtomicU64::new(0) }).collect(),
    );
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..3)
        .map(|reader| {
            let (store, space, known, stop) =
                (store.clone(), space.clone(), Arc::clone(&known), Arc::clone(&stop));
            thread::spawn(move || {
                let mut seen = [0; KEYS];
                let mut changes = 0;
                for n in reader.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let n = n % KEYS;
                    let acknowledged = known[n].acknowledged.load(Ordering::SeqCst);
                    let found = number(&store, &space, &known[n].key);
                    if deletes && found == 0 {
                        continue;
                    }
                    assert!(found >= acknowledged, "{found} was read after {acknowledged} was acknowledged");
                    assert!(found >= seen[n], "{found} was read after {}", seen[n]);
                    changes += u64::from(found > seen[n]);
                    seen[n] = found;
                }
                changes
            })
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(3);
    for value in 1u64.. {
        if Instant::now() > until {
            break;
        }
        // Not always all keys, so that some are read repeatedly meanwhile.
        let n = usize::try_from(value).unwrap() % KEYS;
        let both = [&known[n], &known[(n + 1) % KEYS]];
        let writes = both.iter().map(|known| put(&space, &known.key, &value.to_string())).collect();
        store.write(writes).await.unwrap();
        for known in both {
            known.acknowledged.store(value, Ordering::SeqCst);
            assert_eq!(number(&store, &space, &known.key), value, "its writer reads it");
        }
        if deletes && value % 3 == 0 {
            store.write(vec![delete(&space, &known[n].key)]).await.unwrap();
            assert_eq!(number(&store, &space, &known[n].key), 0, "its writer sees it gone");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 10, "hardly any change was seen");
    }
}

#[tokio::test]
async fn a_value_never_goes_back_with_a_sync_per_write() {
    no_reader_sees_a_value_go_back(Durability::Always, false).await;
}

#[tokio::test]
async fn a_value_never_goes_back_with_a_sync_per_second() {
    no_reader_sees_a_value_go_back(Durability::EverySecond, false).await;
}

#[tokio::test]
async fn a_value_that_was_deleted_never_comes_back() {
    no_reader_sees_a_value_go_back(Durability::EverySecond, true).await;
}

#[tokio::test]
async fn many_more_values_than_are_kept_in_memory_are_all_read() {
    let (_dir, store, space) = with_space("a").await;
    let value = |n: usize, round: usize| format!("{n} {round} ").repeat(1500);
    for round in 0..2 {
        for first in (0..6000).step_by(200) {
            let writes =
                (first..first + 200).map(|n| put(&space, &n.to_string(), &value(n, round))).collect();
            store.write(writes).await.unwrap();
        }
        for n in (0..6000).chain((0..6000).step_by(7)) {
            assert_eq!(get(&store, &space, &n.to_string()), Some(value(n, round)));
        }
    }
}
