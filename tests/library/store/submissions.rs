//! Writes whose outcome is passed to a callback.

use std::sync::mpsc;

use super::*;

#[tokio::test]
async fn every_callback_is_called_once_with_its_own_outcomes() {
    let (_dir, store, space) = with_space("a").await;
    let (outcomes, told) = mpsc::channel();
    for n in 0..200usize {
        let outcomes = outcomes.clone();
        let key = n.to_string();
        let mut writes = vec![put(&space, &key, &key), delete(&space, "never there"), delete(&space, &key)];
        writes.truncate(n % 4);
        store.submit(writes, move |written| outcomes.send((n, written.unwrap())).unwrap());
    }
    drop(outcomes);
    let mut told: Vec<_> = told.iter().collect();
    told.sort_by_key(|(n, _)| *n);
    let all = [Outcome::Stored, Outcome::NotFound, Outcome::Deleted];
    let expected: Vec<_> = (0..200).map(|n| (n, all[..n % 4].to_vec())).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_is_queued_when_the_store_closes_is_committed_and_told() {
    let (dir, store, space) = with_space("a").await;
    let (outcomes, told) = mpsc::channel();
    for n in 0..50 {
        let outcomes = outcomes.clone();
        store.submit(vec![put(&space, &n.to_string(), "v")], move |written| outcomes.send(written).unwrap());
    }
    store.close().unwrap();
    drop(outcomes);
    assert_eq!(told.iter().map(|written| written.unwrap()).collect::<Vec<_>>(), [[Outcome::Stored]; 50]);
    let store = open(dir.path());
    assert_eq!(get(&store, &store.space("a").unwrap(), "49").as_deref(), Some("v"));
}

#[tokio::test]
async fn a_closed_store_calls_back_at_once() {
    let (_dir, store, space) = with_space("a").await;
    let other = store.clone();
    store.close().unwrap();
    let (outcomes, told) = mpsc::channel();
    other.submit(vec![put(&space, "k", "v")], move |written| outcomes.send(written).unwrap());
    assert!(matches!(told.try_recv().unwrap(), Err(StoreError::Closed)));
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn a_callback_that_panics_takes_nobody_with_it() {
    let (_dir, store, space) = with_space("a").await;
    let (outcomes, told) = mpsc::channel();
    for n in 0..20 {
        let outcomes = outcomes.clone();
        store.submit(vec![put(&space, &n.to_string(), "v")], move |written| {
            assert_ne!(n, 3, "on purpose");
            outcomes.send(written.unwrap()).unwrap();
        });
    }
    drop(outcomes);
    assert_eq!(told.iter().count(), 19);
    assert_eq!(store.write(vec![put(&space, "k", "v")]).await.unwrap(), [Outcome::Stored]);
    assert_eq!(get(&store, &space, "3").as_deref(), Some("v"));
    store.close().unwrap();
}
