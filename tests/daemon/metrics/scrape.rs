//! One scrape of a server's metrics.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::{Client, Reply, Server};

pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(crate) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Prometheus 2 sends.
pub(crate) const PROMETHEUS_ACCEPTS: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
     text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The samples of one scrape: name and labels as written, and the value.
pub(crate) struct Scrape(BTreeMap<String, f64>);

pub(crate) fn ask(server: &Server, accept: &str) -> Reply {
    server.send_raw(format!(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
    ))
}

/// Sends a request, and returns the answer.
#[track_caller]
pub(crate) fn say(client: &mut Client, request: &str) -> String {
    client.send(format!("{request}\n"));
    client.line().unwrap()
}

impl Scrape {
    #[track_caller]
    pub(crate) fn of(server: &Server) -> Self {
        let reply = ask(server, PROMETHEUS_ACCEPTS);
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert!(reply.body.ends_with("\n# EOF\n"), "{}", reply.body);
        Self::read(&reply.body)
    }

    pub(crate) fn read(text: &str) -> Self {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            samples
                .map(|line| {
                    let (sample, value) = line.rsplit_once(' ').unwrap();
                    (sample.to_owned(), value.parse().unwrap())
                })
                .collect(),
        )
    }

    /// The value of a sample, if present.
    pub(crate) fn find(&self, sample: &str) -> Option<f64> {
        self.0.get(sample).copied()
    }

    /// The value of a sample that must be present.
    #[track_caller]
    pub(crate) fn value(&self, sample: &str) -> f64 {
        self.find(sample).unwrap_or_else(|| panic!("there is no {sample} in {:#?}", self.0))
    }

    /// The value of a request's counter.
    #[track_caller]
    pub(crate) fn requests(&self, kind: &str, outcome: &str) -> f64 {
        self.value(&format!("shibudb_requests_total{{type=\"{kind}\",outcome=\"{outcome}\"}}"))
    }

    /// The sum of all samples of a metric.
    pub(crate) fn sum(&self, metric: &str) -> f64 {
        let of = |sample: &&str| sample.split('{').next() == Some(metric);
        self.0.iter().filter(|(sample, _)| of(&sample.as_str())).map(|(_, value)| value).sum()
    }

    /// The names of all samples.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.0.keys().filter_map(|sample| sample.split('{').next()).collect()
    }
}
