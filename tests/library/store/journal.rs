//! How the store handles a journal that a crash or the disk has damaged.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;

use super::*;

/// A store whose writes are synced once a second, and its only space.
async fn loose() -> (TempDir, Store, Space) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Durability::EverySecond).unwrap();
    store.create_space("a", true).await.unwrap();
    let space = store.space("a").unwrap();
    (dir, store, space)
}

const MANIFEST: &str = "store.manifest";

fn journal(dir: &Path) -> PathBuf {
    dir.join("store/1.jnl")
}

fn position(content: &[u8], of: &str) -> usize {
    content.windows(of.len()).position(|window| window == of.as_bytes()).unwrap()
}

/// A copy of the store's directory as a crash at this moment would leave it, but without the bytes of the
/// journal around `hole`, which never reached the disk.
fn crashed_with_a_hole(dir: &Path, hole: &str, before: usize, len: usize) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(&dir.join("store"), &copy.path().join("store"));
    std::fs::copy(dir.join(MANIFEST), copy.path().join(MANIFEST)).unwrap();
    punch(copy.path(), hole, before, len);
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.metadata().unwrap().is_dir() {
            copy_folder(&entry.path(), &to.join(entry.file_name()));
        } else {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn punch(dir: &Path, hole: &str, before: usize, len: usize) {
    let mut content = std::fs::read(journal(dir)).unwrap();
    let start = position(&content, hole) - before;
    content[start..start + len].fill(0);
    std::fs::write(journal(dir), content).unwrap();
}

fn found(store: &Store) -> Vec<String> {
    let space = store.space("a").unwrap();
    let keys = (0..20).map(|n| format!("key {n:02}"));
    keys.filter(|key| get(store, &space, key).is_some()).collect()
}

/// Puts `key 00` to `key 19`, one commit each.
async fn put_twenty(store: &Store, space: &Space) {
    for n in 0..20 {
        let (key, value) = (format!("key {n:02}"), format!("value of {n:02}"));
        store.write(vec![put(space, &key, &value)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_last_write_torn_by_a_power_failure_is_cut_off() {
    let (dir, store, space) = with_space("a").await;
    store.write(vec![put(&space, "kept", "first value")]).await.unwrap();
    store.write(vec![put(&space, "torn", "second value")]).await.unwrap();
    store.close().unwrap();
    punch(dir.path(), "second value", 0, 6);

    let store = open(dir.path());
    let space = store.space("a").unwrap();
    assert_eq!(get(&store, &space, "kept").as_deref(), Some("first value"));
    assert_eq!(get(&store, &space, "torn"), None);
    position(&std::fs::read(journal(dir.path()).with_extension("cut-off")).unwrap(), " value");
    store.write(vec![put(&space, "torn", "again")]).await.unwrap();
    store.close().unwrap();
    let store = open(dir.path());
    assert_eq!(get(&store, &store.space("a").unwrap(), "torn").as_deref(), Some("again"));
}

#[tokio::test]
async fn damage_before_intact_writes_is_refused_and_nothing_is_cut() {
    // In the value; in the header of the batch, where the engine sees an end; across several batches.
    for (before, len) in [(0, 4), (48, 40), (48, 200)] {
        let (dir, store, space) = with_space("a").await;
        put_twenty(&store, &space).await;
        store.close().unwrap();
        punch(dir.path(), "value of 05", before, len);
        let content = std::fs::read(journal(dir.path())).unwrap();

        let error = Store::open(dir.path(), Durability::Always).unwrap_err();
        let OpenError::Engine { source: StoreError::JournalDamaged { path, intact }, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(**path, journal(dir.path()));
        assert!(error.to_string().contains(&format!("`truncate --size={intact}`")), "{error}");
        assert_eq!(std::fs::read(journal(dir.path())).unwrap(), content);

        // The repair that the message names works.
        std::fs::File::options().write(true).open(path).unwrap().set_len(*intact as u64).unwrap();
        assert_eq!(found(&open(dir.path())).last().unwrap(), "key 04");
    }
}

#[tokio::test]
async fn a_hole_in_what_was_not_synced_loses_what_follows_and_nothing_else() {
    for (before, len) in [(0, 4), (48, 40), (48, 200)] {
        let (dir, store, space) = loose().await;
        put_twenty(&store, &space).await;
        let crashed = crashed_with_a_hole(dir.path(), "value of 05", before, len);
        let again = Store::open(crashed.path(), Durability::EverySecond).unwrap();
        assert_eq!(found(&again), ["key 00", "key 01", "key 02", "key 03", "key 04"]);
        // The store continues from there.
        let space = again.space("a").unwrap();
        again.write(vec![put(&space, "key 19", "again")]).await.unwrap();
        again.close().unwrap();
        assert_eq!(found(&open(crashed.path())).len(), 6);
    }
}

#[tokio::test]
async fn a_space_without_wal_does_not_keep_the_store_from_opening() {
    let (dir, store, careful) = with_space("a").await;
    store.create_space("b", false).await.unwrap();
    let loose = store.space("b").unwrap();
    for n in 0..3 {
        store.write(vec![put(&loose, &n.to_string(), &format!("loose {n}"))]).await.unwrap();
    }
    // It was written with a sync, but its presence does not prove that this sync completed.
    store.write(vec![put(&careful, "key 00", "careful 0")]).await.unwrap();
    let crashed = crashed_with_a_hole(dir.path(), "loose 1", 0, 7);
    let again = open(crashed.path());
    assert_eq!(get(&again, &again.space("b").unwrap(), "0").as_deref(), Some("loose 0"));
    assert_eq!(found(&again), [""; 0]);

    // The presence of the next one does.
    store.write(vec![put(&careful, "key 01", "careful 1")]).await.unwrap();
    let crashed = crashed_with_a_hole(dir.path(), "loose 1", 0, 7);
    assert!(Store::open(crashed.path(), Durability::Always).is_err());
}

#[tokio::test]
async fn a_hole_in_what_was_synced_once_a_second_is_refused() {
    let (dir, store, space) = loose().await;
    put_twenty(&store, &space).await;
    // The sync comes within a second and leaves a trace.
    let deadline = Instant::now() + Duration::from_secs(30);
    let refused = loop {
        assert!(Instant::now() < deadline, "no trace of a sync");
        let crashed = crashed_with_a_hole(dir.path(), "value of 05", 0, 4);
        match Store::open(crashed.path(), Durability::EverySecond) {
            Ok(_) => thread::sleep(Duration::from_millis(50)),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, OpenError::Engine { source: StoreError::JournalDamaged { .. }, .. }));

    // A later write may be torn again.
    store.write(vec![put(&space, "later", "later 1")]).await.unwrap();
    let crashed = crashed_with_a_hole(dir.path(), "later 1", 0, 7);
    assert_eq!(found(&Store::open(crashed.path(), Durability::EverySecond).unwrap()).len(), 20);
}

#[tokio::test]
async fn a_new_store_writes_ahead_of_its_journal() {
    let (dir, store, space) = with_space("a").await;
    store.write(vec![put(&space, "key", "value")]).await.unwrap();
    let journal = std::fs::File::open(journal(dir.path())).unwrap();
    journal.sync_all().unwrap();
    let facts = journal.metadata().unwrap();
    assert!(facts.blocks() * 512 >= 256 << 10, "{} blocks", facts.blocks());
    assert_eq!(facts.len(), 64 << 20);
}

/// A commit as the engine writes it, with one key.
fn batch(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut item = vec![2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
    item.extend((key.len() as u16).to_le_bytes());
    item.extend([(value.len() as u32).to_le_bytes(); 2].concat());
    item.extend([key, value].concat());
    let mut batch = vec![1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    batch.extend(&item);
    batch.push(3);
    batch.extend(xxhash_rust::xxh3::xxh3_64(&item).to_le_bytes());
    batch.extend(b"FJL\x03");
    batch
}

/// Clients store values that look like commits which mark everything before them as synced.
#[tokio::test]
async fn a_value_that_looks_like_a_commit_does_not_keep_the_store_from_opening() {
    let synced = b"\0\0\0\0\0\0\0\0s";
    for forged in [batch(b"k", b""), batch(synced, b""), batch(synced, b"a secret of ours")] {
        let (dir, store, space) = with_space("a").await;
        put_twenty(&store, &space).await;
        let value = Some([b"here it is torn".as_slice(), &[0xee; 200], &forged].concat());
        store.write(vec![Write { space: space.clone(), key: b"key".into(), value }]).await.unwrap();
        store.close().unwrap();
        punch(dir.path(), "here it is torn", 0, 15);
        assert_eq!(found(&open(dir.path())).len(), 20);
    }
}

#[tokio::test]
async fn a_torn_end_that_is_made_to_take_long_is_looked_through_in_passing() {
    let (dir, store, space) = with_space("a").await;
    put_twenty(&store, &space).await;
    // Each start of a batch has an item as long as the rest, so a scan would read each to its end.
    let len = 1 << 20;
    let mut value = b"here it is torn".to_vec();
    while value.len() < len {
        let rest = (len - value.len()) as u32;
        value.extend([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        value.extend([rest.to_le_bytes(); 2].concat());
    }
    // Each is too small to be compressed.
    let writes = value.chunks(4000).enumerate();
    let writes = writes.map(|(n, part)| Write {
        space: space.clone(),
        key: format!("part {n:04}").into(),
        value: Some(part.to_vec()),
    });
    store.write(writes.collect()).await.unwrap();
    store.close().unwrap();
    punch(dir.path(), "here it is torn", 0, 15);
    for known in [true, false] {
        let crashed = crashed_with_a_hole(dir.path(), "part 0100", 0, 4);
        if !known {
            std::fs::remove_file(crashed.path().join(MANIFEST)).unwrap();
        }
        assert_eq!(found(&open(crashed.path())).len(), 20);
    }
}

/// The version before this one had no manifest, and no secret in the marks of its commits.
#[tokio::test]
async fn a_journal_of_the_version_before_is_read_as_it_was_meant() {
    let unsynced = b"\0\0\0\0\0\0\0\0w";
    for (last, opens) in [(batch(b"\0\0\0\0\0\0\0\x01k", b"v"), false), (batch(unsynced, b""), true)] {
        let (dir, store, _space) = with_space("a").await;
        store.close().unwrap();
        std::fs::remove_file(dir.path().join(MANIFEST)).unwrap();
        let mut content = std::fs::read(journal(dir.path())).unwrap();
        let end = content.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        let mut torn = batch(b"\0\0\0\0\0\0\0\x01key", &[7; 100]);
        torn[60..90].fill(0);
        let torn = [torn, last].concat();
        content[end..end + torn.len()].copy_from_slice(&torn);
        std::fs::write(journal(dir.path()), content).unwrap();
        assert_eq!(Store::open(dir.path(), Durability::Always).is_ok(), opens);
    }
}
