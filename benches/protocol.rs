//! The cost of reading a line and of writing one, on this machine.
//!
//! `cargo bench --bench protocol`. The lines are those that the load generator and the published
//! clients send; the values have 100 bytes.

#![allow(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use shibudb::protocol::{Done, Login, Profile, Refusal, Reply, Request};

const LOGIN: &[u8] = br#"{"username":"admin","password":"correct horse battery staple"}"#;
const GET: &[u8] = br#"{"type":"GET","key":"k000000042","space":"bench","user":"admin"}"#;
const ESCAPED: &[u8] = br#"{"type":"GET","key":"a \"quoted\" key","space":"bench","user":"admin"}"#;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    parse(&mut criterion);
    render(&mut criterion);
    criterion.final_summary();
}

fn parse(criterion: &mut Criterion) {
    let value = value();
    let put =
        format!(r#"{{"type":"PUT","key":"k000000042","value":"{value}","space":"bench","user":"admin"}}"#);
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    group.bench_function("login", |bencher| bencher.iter(|| Login::parse(black_box(LOGIN)).unwrap()));
    group.bench_function("login, not one", |bencher| {
        bencher.iter(|| assert!(Login::parse(black_box(b"x")).is_none()));
    });
    for (name, line) in [("get", GET), ("get, escaped", ESCAPED), ("put", put.as_bytes())] {
        group.bench_function(name, |bencher| bencher.iter(|| drop(Request::parse(black_box(line)).unwrap())));
    }
    let mistakes: [(&str, &[u8]); 3] = [
        ("not JSON", b"x"),
        ("missing field", br#"{"type":"PUT","key":"k000000042","space":"bench"}"#),
        ("unknown type", br#"{"type":"FROB","key":"k000000042","space":"bench"}"#),
    ];
    for (name, line) in mistakes {
        group.bench_function(name, |bencher| {
            bencher.iter(|| drop(Request::parse(black_box(line)).unwrap_err()));
        });
    }
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let value = value();
    let permissions = [("bench", "write"), ("notes", "read")];
    let profile = Profile { username: "alice", role: "user", permissions: &permissions };
    let replies = [
        ("stored", Reply::Done(Done::Stored)),
        ("value", Reply::Value(value.as_bytes())),
        ("value, escaped", Reply::Value(br#"a value with "quotes" in it"#)),
        ("welcome", Reply::Welcome(profile)),
        ("key not found", Reply::Refused(Refusal::KeyNotFound)),
        ("at capacity", Reply::Refused(Refusal::AtCapacity { limit: 1000 })),
    ];
    let mut group = criterion.benchmark_group("render");
    group.throughput(Throughput::Elements(1));
    let mut out = Vec::with_capacity(1024);
    for (name, reply) in &replies {
        group.bench_function(*name, |bencher| {
            bencher.iter(|| {
                out.clear();
                black_box(reply).render(black_box(&mut out));
            });
        });
    }
    group.finish();
}

fn value() -> String {
    ('a'..='z').cycle().take(100).collect()
}
