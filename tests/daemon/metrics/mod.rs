//! `GET /metrics` as seen by Prometheus: the values, in both formats; the shipped alerts and dashboard; and
//! promtool and Prometheus themselves, from Debian's package `prometheus`.

mod numbers;
mod prometheus;
mod scrape;
mod shipped;
mod way_in;
