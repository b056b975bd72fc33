//! What the store and the accounts do in a second, on this machine.
//!
//! `cargo bench --bench store`. Values of 256 bytes, every write synced. Each writer waits for its
//! put before it sends the next, as a connection does; how many share a commit is what the number of
//! commits per put tells.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use shibudb::auth::{Accounts, HashCost, NewUser, Role};
use shibudb::store::{Durability, Space, Store, Write};

const FOR: Duration = Duration::from_secs(3);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::main]
async fn main() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let start = Instant::now();
    let store = Store::open(dir.path(), Durability::Always).unwrap();
    println!("open, empty              {:>12.2?}", start.elapsed());
    store.create_space("bench", true).await.unwrap();
    let space = store.space("bench").unwrap();
    for writers in [1, 8, 64, 256] {
        let before = store.commits();
        let (done, rate) = puts(&store, &space, writers).await;
        let commits = store.commits() - before;
        let per_put = ratio(commits, done);
        println!("puts/s, {writers:>3} writers      {rate:>12.0} ({per_put:.3} commits per put)");
    }
    println!("gets/s, 1 hot key        {:>12.0}", gets(&store, &space, 1));
    println!("gets/s, 1,000 hot keys   {:>12.0}", gets(&store, &space, 1000));
    println!("gets/s, 200,000 keys     {:>12.0}", gets(&store, &space, 200_000));
    logins(&store).await;
    spaces(store, dir.path()).await;
}

fn key(writer: u64, n: u64) -> Vec<u8> {
    format!("key/{writer:03}/{n:08}").into_bytes()
}

async fn puts(store: &Store, space: &Space, writers: u64) -> (u64, f64) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, space) = (store.clone(), space.clone());
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let write = Write {
                        space: space.clone(),
                        key: key(writer, n),
                        value: Some(vec![u8::try_from(n % 251).unwrap(); 256]),
                    };
                    store.write(vec![write]).await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(FOR).await;
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.unwrap();
    }
    let done = done.load(Ordering::Relaxed);
    (done, per_second(done, start))
}

fn gets(store: &Store, space: &Space, keys: u64) -> f64 {
    let keys: Vec<_> = (0..keys).map(|n| key(n % 64, n / 64)).collect();
    let (start, mut done) = (Instant::now(), 0);
    // Not in the order they are stored in.
    for n in (0..).map(|n: usize| n.wrapping_mul(7919) % keys.len()) {
        std::hint::black_box(store.get(space, &keys[n]).unwrap());
        done += 1;
        if done % 1000 == 0 && start.elapsed() > FOR {
            break;
        }
    }
    per_second(done, start)
}

async fn logins(store: &Store) {
    let accounts = Accounts::open(store.clone(), HashCost::default()).unwrap();
    let user = NewUser {
        username: "bench".into(),
        password: "password".into(),
        role: Role::User,
        permissions: BTreeMap::new(),
    };
    accounts.create(user).await.unwrap();
    let start = Instant::now();
    accounts.login("bench", "password", HERE).await.unwrap();
    println!("first login              {:>12.2?}", start.elapsed());
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < FOR {
        accounts.login("bench", "password", HERE).await.unwrap();
        done += 1;
    }
    println!("logins/s, known          {:>12.0}", per_second(done, start));
}

async fn spaces(store: Store, dir: &std::path::Path) {
    let start = Instant::now();
    for n in 0..10_000 {
        store.create_space(&format!("space {n}"), true).await.unwrap();
    }
    println!("create 10,000 spaces     {:>12.2?}", start.elapsed());
    store.close().unwrap();
    let start = Instant::now();
    let store = Store::open(dir, Durability::Always).unwrap();
    println!("open with them           {:>12.2?} (with replay of the journal)", start.elapsed());
    store.close().unwrap();
}

#[expect(clippy::cast_precision_loss, reason = "a ratio")]
fn ratio(commits: u64, puts: u64) -> f64 {
    commits as f64 / puts as f64
}

#[expect(clippy::cast_precision_loss, reason = "a rate")]
fn per_second(done: u64, since: Instant) -> f64 {
    done as f64 / since.elapsed().as_secs_f64()
}
