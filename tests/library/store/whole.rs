//! An incomplete store is refused, and the attempt to open it loses nothing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::*;

const MANIFEST: &str = "store.manifest";

/// A closed store with something in its tables and something in its journal.
async fn filled() -> TempDir {
    let (dir, store, space) = with_space("a").await;
    for round in 0..300 {
        let value = format!("{round} ").repeat(20_000);
        store.write(vec![put(&space, &round.to_string(), &value)]).await.unwrap();
    }
    store.write(vec![put(&space, "last", "in the journal")]).await.unwrap();
    store.note_admin().unwrap();
    store.close().unwrap();
    let tables = dir.path().join("store/keyspaces/1/tables");
    assert!(fs::read_dir(tables).unwrap().next().is_some(), "there is nothing in tables");
    dir
}

fn journals(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir.join("store")).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl")).collect()
}

fn journal_bytes(dir: &Path) -> u64 {
    journals(dir).iter().filter_map(|path| Some(path.metadata().ok()?.blocks() * 512)).sum()
}

fn refused(dir: &Path) -> String {
    Store::open(dir, Durability::Always).unwrap_err().to_string()
}

fn last(dir: &Path) -> Option<String> {
    let store = open(dir);
    get(&store, &store.space("a").unwrap(), "last")
}

#[tokio::test]
async fn whatever_of_it_is_missing_is_named_and_put_back_it_is_all_there() {
    let dir = filled().await;
    let aside = dir.path().join("aside");
    let current = fs::read(dir.path().join("store/keyspaces/1/current")).unwrap();
    let version = u64::from_le_bytes(current[..8].try_into().unwrap());
    let version = format!("store/keyspaces/1/v{version}");
    let journal = journals(dir.path()).pop().unwrap();
    let journal = journal.strip_prefix(dir.path()).unwrap().to_str().unwrap();
    for missing in [
        "store",
        "store/version",
        "store/keyspaces",
        "store/keyspaces/0",
        "store/keyspaces/0/current",
        "store/keyspaces/1",
        "store/keyspaces/1/current",
        "store/keyspaces/1/tables",
        &version,
        journal,
    ] {
        let path = dir.path().join(missing);
        fs::rename(&path, &aside).unwrap();
        let error = refused(dir.path());
        assert!(error.contains(path.to_str().unwrap()) && error.contains("is missing"), "{missing}: {error}");
        fs::rename(&aside, &path).unwrap();
        assert_eq!(last(dir.path()).as_deref(), Some("in the journal"), "{missing}");
    }
}

#[tokio::test]
async fn a_journal_in_which_nothing_can_be_read_is_refused_and_not_cut() {
    let dir = filled().await;
    let [journal] = &journals(dir.path())[..] else { panic!("one journal") };
    let whole = fs::read(journal).unwrap();
    for damaged in [vec![0; whole.len()], vec![0xa5; whole.len()], Vec::new()] {
        fs::write(journal, &damaged).unwrap();
        let error = refused(dir.path());
        assert!(error.contains(journal.to_str().unwrap()) && error.contains("nothing in"), "{error}");
        assert!(error.contains(MANIFEST), "{error}");
        assert_eq!(fs::read(journal).unwrap(), damaged);
    }
    // The repair that the message names works.
    fs::write(journal, "").unwrap();
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    open(dir.path());
}

#[tokio::test]
async fn a_journal_between_others_is_missed() {
    let dir = filled().await;
    let journal = journals(dir.path()).pop().unwrap();
    let number: u64 = journal.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let later = journal.with_file_name(format!("{}.jnl", number + 2));
    fs::write(&later, "").unwrap();
    let error = refused(dir.path());
    assert!(error.contains(&format!("{}.jnl is missing", number + 1)), "{error}");
}

#[tokio::test]
async fn another_format_is_told_from_damage() {
    let dir = filled().await;
    let version = dir.path().join("store/version");
    fs::write(&version, b"FJL\x04").unwrap();
    let error = refused(dir.path());
    assert!(error.contains("has format 4, and this version of shibudb reads format 3"), "{error}");
    fs::write(&version, b"LSM\x03").unwrap();
    assert!(refused(dir.path()).contains("is damaged"), "{error}");
}

#[tokio::test]
async fn a_manifest_that_is_damaged_is_named() {
    let dir = filled().await;
    let manifest = dir.path().join(MANIFEST);
    fs::write(&manifest, "").unwrap();
    assert!(refused(dir.path()).contains(manifest.to_str().unwrap()));
    assert_eq!(fs::read(&manifest).unwrap(), b"", "it is left to the operator");
}

#[tokio::test]
async fn a_store_of_the_version_without_a_manifest_is_taken_in() {
    let dir = filled().await;
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    assert_eq!(last(dir.path()).as_deref(), Some("in the journal"));
    // From now on the manifest lists the journal.
    let journal = journals(dir.path()).pop().unwrap();
    fs::remove_file(&journal).unwrap();
    assert!(refused(dir.path()).contains("is missing"));
    // Without a manifest, data in tables proves that there was a journal.
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    assert!(refused(dir.path()).contains("is missing"));
}

#[tokio::test]
async fn a_first_start_that_was_broken_off_anywhere_is_made_up_for() {
    // The engine creates its folder under another name, then renames it, without a journal; then the journal is
    // created, and then the manifest.
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let journal = journals(dir.path()).pop().unwrap();
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    drop(open(dir.path()));
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    fs::remove_file(&journal).unwrap();
    drop(open(dir.path()));
    fs::remove_file(dir.path().join(MANIFEST)).unwrap();
    fs::rename(dir.path().join("store"), dir.path().join("store.new")).unwrap();
    fs::remove_file(dir.path().join("store.new/version")).unwrap();
    let store = open(dir.path());
    store.create_space("a", true).await.unwrap();
    store.close().unwrap();
    assert!(open(dir.path()).space("a").is_some());
}

#[tokio::test]
async fn the_first_commit_of_a_journal_may_be_torn() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    let journal = journals(dir.path()).pop().unwrap();
    // A start of a batch without items.
    fs::write(&journal, [&[1, 9, 0, 0, 0, 7][..], &[0; 4096]].concat()).unwrap();
    drop(open(dir.path()));
}

#[tokio::test]
async fn that_there_was_an_administrator_is_known_for_good() {
    let (dir, store, _space) = with_space("a").await;
    assert!(!store.has_had_admin());
    store.note_admin().unwrap();
    store.close().unwrap();
    assert!(open(dir.path()).has_had_admin());
    let mode = fs::metadata(dir.path().join(MANIFEST)).unwrap().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn journals_that_are_not_needed_any_more_are_given_back_when_all_is_quiet() {
    let (dir, store, space) = with_space("a").await;
    store.create_space("kept", true).await.unwrap();
    let kept = store.space("kept").unwrap();
    // Incompressible data.
    let mut random = 1_u64;
    for round in 0..250 {
        let mut next = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        };
        let value = Some((0..60_000).map(|_| next()).collect());
        store.write(vec![Write { space: space.clone(), key: vec![round as u8, 1], value }]).await.unwrap();
    }
    store.write(vec![put(&kept, "key", "value"), put(&kept, "gone", "value")]).await.unwrap();
    store.write(vec![delete(&kept, "gone")]).await.unwrap();
    store.delete_space("a").await.unwrap();
    assert!(journal_bytes(dir.path()) > 8 << 20);
    let deadline = Instant::now() + Duration::from_secs(60);
    while journal_bytes(dir.path()) > 1 << 20 {
        assert!(Instant::now() < deadline, "{} bytes of journals are left", journal_bytes(dir.path()));
        std::thread::sleep(Duration::from_millis(50));
    }
    // The store continues from there, and new values take precedence over those in tables.
    assert_eq!(get(&store, &kept, "key").as_deref(), Some("value"));
    store.write(vec![put(&kept, "key", "newer")]).await.unwrap();
    assert_eq!(get(&store, &kept, "key").as_deref(), Some("newer"));
    store.close().unwrap();
    let store = open(dir.path());
    let kept = store.space("kept").unwrap();
    assert_eq!(get(&store, &kept, "key").as_deref(), Some("newer"));
    assert_eq!(get(&store, &kept, "gone"), None);
    assert!(store.space("a").is_none());
}
