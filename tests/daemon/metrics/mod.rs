//! `GET /metrics` as Prometheus sees it: what the numbers say, in both formats; the shipped alerts and
//! dashboard; and promtool and Prometheus themselves, from Debian's package `prometheus`.

mod numbers;
mod prometheus;
mod scrape;
mod shipped;
mod way_in;
