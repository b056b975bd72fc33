//! The cost of the store and of logins, on this machine: `cargo bench --bench store [-- FILTER]`.
//!
//! Values of 100 bytes, every write synced. Each writer waits for its put before it sends the next, as
//! a connection does; how many share a commit is printed before the figures.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]
#![allow(missing_docs, reason = "criterion makes functions without")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shibudb::auth::{Accounts, HashCost, NewUser, Role};
use shibudb::store::{Durability, Space, Store, Write};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const VALUE: usize = 100;

criterion_group! {
    name = store;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(3));
    targets = get, put, open, login
}
criterion_main!(store);

fn fresh(durability: Durability) -> (TempDir, Store, Space) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let store = Store::open(dir.path(), durability).unwrap();
    block_on(store.create_space("bench", true)).unwrap();
    let space = store.space("bench").unwrap();
    (dir, store, space)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Runtime::new().unwrap().block_on(future)
}

fn key(n: usize) -> String {
    format!("key:{n:012}")
}

fn write(space: &Space, n: usize) -> Write {
    let value = vec![u8::try_from(n % 251).unwrap(); VALUE];
    Write { space: space.clone(), key: key(n).into_bytes(), value: Some(value) }
}

fn get(c: &mut Criterion) {
    const KEYS: usize = 1_000_000;
    let (_dir, store, space) = fresh(Durability::EverySecond);
    for first in (0..KEYS).step_by(1000) {
        block_on(store.write((first..first + 1000).map(|n| write(&space, n)).collect())).unwrap();
    }
    let keys: Vec<_> = (0..KEYS).map(key).collect();
    let mut group = c.benchmark_group("get");
    // Not in their storage order.
    let mut among = |name: &str, keys: &[String]| {
        let mut n = 0usize;
        group.bench_function(name, |b| {
            b.iter(|| {
                n = n.wrapping_add(7919);
                black_box(store.get(&space, keys[n % keys.len()].as_bytes()).unwrap())
            });
        });
    };
    among("1 hot key", &keys[..1]);
    among("1000 hot keys", &keys[..1000]);
    among("100000 hot keys", &keys[..100_000]);
    among("1000000 keys", &keys);
    among("1000 missing keys", &(0..1000).map(|n| format!("missing {n}")).collect::<Vec<_>>());
    group.bench_function("space by its name", |b| b.iter(|| black_box(store.space("bench"))));
}

fn put(c: &mut Criterion) {
    let mut group = c.benchmark_group("put");
    group.throughput(Throughput::Elements(1));
    for (name, durability) in [("always", Durability::Always), ("1s", Durability::EverySecond)] {
        let (_dir, store, space) = fresh(durability);
        for writers in [1, 8, 64, 256] {
            let (mut puts, before) = (0, store.commits());
            group.bench_function(format!("{name}, {writers} writers"), |b| {
                b.iter_custom(|iters| {
                    let iters = usize::try_from(iters).unwrap();
                    puts += iters;
                    put_many(&store, &space, writers, iters)
                });
            });
            println!("{name}, {writers} writers: {puts} puts in {} commits", store.commits() - before);
        }
    }
}

/// Submits `puts` writes, with `writers` of them under way at any moment.
fn put_many(store: &Store, space: &Space, writers: usize, puts: usize) -> Duration {
    let (done, outcomes) = mpsc::channel();
    let start = Instant::now();
    for n in 0..puts {
        if n >= writers {
            outcomes.recv().unwrap();
        }
        let done = done.clone();
        store.submit(vec![write(space, n)], move |written| done.send(written.unwrap().len()).unwrap());
    }
    drop(done);
    assert_eq!(outcomes.iter().count(), writers.min(puts));
    start.elapsed()
}

fn open(c: &mut Criterion) {
    let mut group = c.benchmark_group("open and close");
    let (dir, store, _) = fresh(Durability::Always);
    store.close().unwrap();
    let reopen = || Store::open(dir.path(), Durability::Always).unwrap();
    group.bench_function("1 space", |b| b.iter(|| reopen().close().unwrap()));
    let store = reopen();
    let start = Instant::now();
    let spaces = Runtime::new().unwrap();
    for n in 0..10_000 {
        spaces.block_on(store.create_space(&format!("space {n}"), true)).unwrap();
    }
    println!("10,000 spaces created one after the other in {:.2?}", start.elapsed());
    store.close().unwrap();
    group.bench_function("10000 spaces", |b| b.iter(|| reopen().close().unwrap()));
}

fn login(c: &mut Criterion) {
    let (_dir, store, _) = fresh(Durability::Always);
    let runtime = Runtime::new().unwrap();
    let accounts = Accounts::open(store, HashCost::default()).unwrap();
    let user = NewUser {
        username: "bench".into(),
        password: "password".into(),
        role: Role::User,
        permissions: BTreeMap::new(),
    };
    runtime.block_on(accounts.create(user)).unwrap();
    c.bench_function("login of a known user", |b| {
        b.iter(|| runtime.block_on(accounts.login("bench", "password", HERE)).unwrap());
    });
}
