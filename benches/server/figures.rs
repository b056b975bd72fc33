//! The results: figures with units, rounds of them, and their median and spread.

use std::time::Duration;

use hdrhistogram::Histogram;

/// A kind of figure: a column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    PerSecond,
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Bytes,
    Percent,
    Count,
    /// The ratio of a figure to the same one of another server.
    Ratio,
}

const fn figure(name: &'static str, unit: Unit) -> Figure {
    Figure { name, unit }
}

pub(crate) const RATE: Figure = figure("rate", Unit::PerSecond);
pub(crate) const P50: Figure = figure("p50", Unit::Microseconds);
pub(crate) const P99: Figure = figure("p99", Unit::Microseconds);
pub(crate) const WORST: Figure = figure("worst", Unit::Microseconds);
/// CPU time of the server for one operation.
pub(crate) const CPU: Figure = figure("server CPU", Unit::Microseconds);
/// Clients that were never told why they were rejected.
pub(crate) const LOST: Figure = figure("lost answers", Unit::Count);
/// Clients whose connection ended in a reset, answered or not.
pub(crate) const RESETS: Figure = figure("resets", Unit::Count);
/// How long a list of all connections takes.
pub(crate) const LISTED: Figure = figure("list, p50", Unit::Microseconds);
pub(crate) const LISTED_WORST: Figure = figure("list, worst", Unit::Microseconds);
pub(crate) const SILENT: Figure = figure("silent", Unit::Bytes);
pub(crate) const LOGGED_IN: Figure = figure("logged in", Unit::Bytes);
/// The share of that memory that the process still holds three seconds after the connections are closed.
pub(crate) const KEPT: Figure = figure("still held", Unit::Percent);
/// The same, of all connections together.
pub(crate) const KEPT_BYTES: Figure = figure("that is", Unit::Bytes);
/// By how much of it the memory held grows from the first time to the second.
pub(crate) const GROWTH: Figure = figure("growth", Unit::Percent);
/// From exec until both ports answer.
pub(crate) const ANSWERS: Figure = figure("answers after", Unit::Milliseconds);
pub(crate) const LISTENS: Figure = figure("listens after", Unit::Milliseconds);
pub(crate) const RESIDENT: Figure = figure("resident", Unit::Bytes);
pub(crate) const BUSY_P50: Figure = figure("p50, busy", Unit::Microseconds);
pub(crate) const BUSY_P99: Figure = figure("p99, busy", Unit::Microseconds);
/// Until a request sent after the answer has shown the new limit.
pub(crate) const SEEN: Figure = figure("seen in force, p50", Unit::Microseconds);
pub(crate) const ALONE: Figure = figure("alone", Unit::Nanoseconds);
pub(crate) const CONTENDED: Figure = figure("two threads", Unit::Nanoseconds);

/// The result of one measurement.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    values: Vec<(Figure, f64)>,
    /// The share of the machine that others used meanwhile, where it was measured.
    pub(crate) others: Option<f64>,
}

impl Figures {
    pub(crate) fn with(mut self, figure: Figure, value: f64) -> Self {
        self.values.push((figure, value));
        self
    }

    pub(crate) fn with_latency(self, latency: &Histogram<u64>) -> Self {
        let quantile = |quantile| micros(Duration::from_nanos(latency.value_at_quantile(quantile)));
        self.with(P50, quantile(0.5)).with(P99, quantile(0.99))
    }

    pub(crate) fn get(&self, figure: Figure) -> Option<f64> {
        self.values.iter().find(|(known, _)| *known == figure).map(|(_, value)| *value)
    }

    pub(crate) fn figures(&self) -> impl Iterator<Item = Figure> {
        self.values.iter().map(|(figure, _)| *figure)
    }
}

/// Median and extremes of one figure over the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// `None` if there are no values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, least, most })
    }

    /// The median, and the extremes if they matter.
    pub(crate) fn show(&self, unit: Unit) -> String {
        let scale = unit.scale(self.median);
        let [median, least, most] = [self.median, self.least, self.most].map(|value| scale.number(value));
        let unit = scale.unit;
        if least == most { format!("{median}{unit}") } else { format!("{median}{unit} ({least}..{most})") }
    }
}

/// A unit whose size suits the values.
struct Scale {
    divisor: f64,
    unit: &'static str,
}

impl Unit {
    pub(crate) fn render(self, value: f64) -> String {
        let scale = self.scale(value);
        format!("{}{}", scale.number(value), scale.unit)
    }

    fn scale(self, value: f64) -> Scale {
        let (divisor, unit) = match self {
            Self::PerSecond => (1.0, "/s"),
            Self::Nanoseconds => (1.0, " ns"),
            Self::Microseconds if value >= 10_000.0 => (1e3, " ms"),
            Self::Microseconds => (1.0, " us"),
            Self::Milliseconds => (1.0, " ms"),
            Self::Bytes if value.abs() >= 1e6 => (1e6, " MB"),
            Self::Bytes => (1.0, " B"),
            Self::Percent => (1.0, " %"),
            Self::Count | Self::Ratio => (1.0, ""),
        };
        Scale { divisor, unit }
    }
}

impl Scale {
    fn number(&self, value: f64) -> String {
        number(value / self.divisor)
    }
}

/// With three significant digits, and thousands set apart.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        whole if whole.fract() == 0.0 => 0,
        small if small < 10.0 => 2,
        medium if medium < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let digits = text.len() - text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    if decimals > 0 || digits < 4 {
        return text;
    }
    let mut apart = String::new();
    for (index, c) in text.char_indices() {
        let left = text.len() - index;
        if left < digits && left % 3 == 0 {
            apart.push(',');
        }
        apart.push(c);
    }
    apart
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Latencies in nanoseconds, from one to two minutes, with three digits.
pub(crate) fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are in order")
}

pub(crate) fn record(latencies: &mut Histogram<u64>, latency: Duration) {
    latencies.saturating_record(latency.as_nanos().try_into().unwrap_or(u64::MAX));
}
