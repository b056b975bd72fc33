//! Requests by the number of connections that send them, and the longest wait.

use std::time::Duration;

use anyhow::Result;

use super::Table;
use crate::contender::{Contender, Redis, Shibudb};
use crate::dialogue::{Dialogue, KEYS, Mix};
use crate::figures::{CPU, Figure, Figures, P50, P99, RATE, WORST};
use crate::http::Http;
use crate::language::Language;
use crate::rounds::Scale;

/// The number of commits so far, in the server's metrics.
const COMMITS: &str = "shibudb_store_commits_total";

pub(super) fn gets(scale: &Scale) -> Result<Table> {
    let mut table = Table::new(["connections", "server", "rate", "p50", "p99", "server CPU"]);
    for connections in [1, 8, 64, 512] {
        for (name, language, server) in servers()? {
            let figures = measure(scale, &server, language, connections, Mix::Gets)?.0;
            let [rate, p50, p99, cpu] = cells(&figures, [RATE, P50, P99, CPU]);
            table.line([connections.to_string(), name.to_owned(), rate, p50, p99, cpu]);
        }
    }
    Ok(table)
}

pub(super) fn puts(scale: &Scale) -> Result<Table> {
    let mut table =
        Table::new(["connections", "server", "rate", "p50", "p99", "server CPU", "commits per put"]);
    for connections in [1, 8, 64, 256, 512] {
        for (name, language, server) in servers()? {
            let (figures, commits) = measure(scale, &server, language, connections, Mix::Puts)?;
            let [rate, p50, p99, cpu] = cells(&figures, [RATE, P50, P99, CPU]);
            let commits = commits.map_or_else(|| "-".to_owned(), |commits| format!("{commits:.3}"));
            table.line([connections.to_string(), name.to_owned(), rate, p50, p99, cpu, commits]);
        }
    }
    Ok(table)
}

pub(super) fn mixed(scale: &Scale) -> Result<Table> {
    let length = Duration::from_secs(if scale.quick { 10 } else { 60 });
    let mut table = Table::new(["server", "for", "rate", "p50", "p99", "worst"]);
    for (name, language, server) in servers()? {
        let mut dialogue = Dialogue::open(server.address(), language, 64)?;
        dialogue.fill(KEYS)?;
        let figures = dialogue.measure(server.pid(), Mix::Both, KEYS, length)?;
        let [rate, p50, p99, worst] = cells(&figures, [RATE, P50, P99, WORST]);
        table.line([name.to_owned(), format!("{} s", length.as_secs()), rate, p50, p99, worst]);
    }
    Ok(table)
}

/// New servers: a long-running one would behave differently.
fn servers() -> Result<Vec<(&'static str, Language, Contender)>> {
    let mut servers = vec![("shibudb", Language::Shibudb, Shibudb::default().start()?)];
    if Redis::installed() {
        servers.push(("redis", Language::Redis, Redis::default().start()?));
    }
    Ok(servers)
}

/// The figures, and the number of commits per request if the server reports it.
fn measure(
    scale: &Scale,
    server: &Contender,
    language: Language,
    connections: usize,
    mix: Mix,
) -> Result<(Figures, Option<f64>)> {
    let mut dialogue = Dialogue::open(server.address(), language, connections)?;
    dialogue.fill(KEYS)?;
    let before = commits(server, language);
    let begin = dialogue.done();
    let figures = dialogue.measure(server.pid(), mix, KEYS, scale.seconds(3.0))?;
    let done = (dialogue.done() - begin) as f64;
    let commits = commits(server, language).zip(before).map(|(after, before)| (after - before) / done);
    Ok((figures, commits))
}

/// `None` without such metrics.
fn commits(server: &Contender, language: Language) -> Option<f64> {
    if language != Language::Shibudb {
        return None;
    }
    let mut http = Http::open(server.management()).ok()?;
    let metrics = http.find("/metrics").ok()??;
    // Its value comes last, whether there are labels or not.
    metrics.lines().find(|line| line.starts_with(COMMITS))?.rsplit(' ').next()?.parse().ok()
}

fn cells<const N: usize>(figures: &Figures, columns: [Figure; N]) -> [String; N] {
    columns
        .map(|column| figures.get(column).map_or_else(|| "-".to_owned(), |value| column.unit.render(value)))
}
