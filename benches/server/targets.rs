//! The targets, row by row.

use crate::figures::{
    ALONE, ANSWERS, BUSY_P50, BUSY_P99, CONTENDED, CPU, Figure, GROWTH, KEPT, LISTED_WORST, LOGGED_IN, LOST,
    P50, P99, RATE, RESETS, SILENT, Unit,
};
use crate::rounds::{Measured, REDIS, SHIBUDB, TOKIO};
use crate::rows::limiter::{BARE_ATOMIC, SEMAPHORE};
use crate::rows::listing::UNSEEN;
use crate::rows::management::DISK;
use crate::rows::short::SILENT_CLIENTS;

/// The target of one figure of this server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// The name of the row.
    pub(crate) row: &'static str,
    pub(crate) figure: Figure,
    /// The bound applies to the ratio to this lane, measured in the same run. If `None`, to the figure itself.
    pub(crate) beside: Option<&'static str>,
    bound: Bound,
    /// A better value still.
    aim: Option<f64>,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

use Bound::{AtLeast, AtMost};

const fn ratio(row: &'static str, figure: Figure, lane: &'static str, bound: Bound) -> Target {
    Target { row, figure, beside: Some(lane), bound, aim: None }
}

const fn value(row: &'static str, figure: Figure, bound: Bound) -> Target {
    Target { row, figure, beside: None, bound, aim: None }
}

const fn aiming(target: Target, aim: f64) -> Target {
    Target { aim: Some(aim), ..target }
}

/// All of them, in the order of the rows.
pub(crate) const TARGETS: &[Target] = &[
    ratio("rejections", CPU, TOKIO, AtMost(1.1)),
    ratio("rejections", P99, TOKIO, AtMost(1.1)),
    ratio("rejected-logins", CPU, SILENT_CLIENTS, AtMost(1.4)),
    value("rejected-logins", LOST, AtMost(0.0)),
    value("rejected-logins", RESETS, AtMost(0.0)),
    ratio("bad-lines", CPU, TOKIO, AtMost(1.1)),
    ratio("listing", RATE, UNSEEN, AtLeast(0.9)),
    value("listing", LISTED_WORST, AtMost(100_000.0)),
    value("logins", RATE, AtLeast(10_000.0)),
    aiming(ratio("gets", RATE, REDIS, AtLeast(0.9)), 1.0),
    aiming(ratio("puts", RATE, REDIS, AtLeast(1.2)), 1.5),
    ratio("puts-1s", RATE, REDIS, AtLeast(0.8)),
    aiming(value("idle", SILENT, AtMost(1024.0)), 256.0),
    aiming(value("idle", LOGGED_IN, AtMost(1126.0)), 400.0),
    value("idle", KEPT, AtMost(20.0)),
    // Memory comes in pages, hence slightly more than zero.
    value("idle", GROWTH, AtMost(2.0)),
    aiming(value("ready", ANSWERS, AtMost(15.0)), 5.0),
    // The server that this one is compatible with, on a machine of two cores.
    value("management", P50, AtMost(41.0)),
    value("management", P99, AtMost(203.0)),
    value("management", BUSY_P50, AtMost(50.0)),
    value("management", BUSY_P99, AtMost(286.0)),
    value("set-limit", P50, AtMost(250.0)),
    // Where the disk alone takes longer than that, this bound is what remains.
    ratio("set-limit", P50, DISK, AtMost(1.25)),
    // Two cores are shared with the clients that keep them busy: the target is that no client waits for long.
    value("starvation", P99, AtMost(100_000.0)),
    value("manager", P50, AtMost(3300.0)),
    ratio("manager", P50, REDIS, AtMost(1.0)),
    ratio("limiter", ALONE, BARE_ATOMIC, AtMost(4.0)),
    ratio("limiter", CONTENDED, BARE_ATOMIC, AtMost(4.0)),
    ratio("limiter", ALONE, SEMAPHORE, AtMost(1.0)),
    ratio("limiter", CONTENDED, SEMAPHORE, AtMost(1.0)),
];

/// Whether a target is reached, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) measured: String,
    pub(crate) verdict: &'static str,
}

impl Target {
    /// `None` if it was not measured, for example without redis.
    pub(crate) fn judge(&self, measured: &Measured) -> Option<Verdict> {
        let figure = self.figure;
        let (spread, what) = match self.beside {
            None => (measured.spread(SHIBUDB, figure)?, figure.name.to_owned()),
            Some(lane) => (measured.ratio(SHIBUDB, lane, figure)?, format!("{} : {lane}", figure.name)),
        };
        let unit = if self.beside.is_none() { figure.unit } else { Unit::Ratio };
        let (sign, bound) = match self.bound {
            AtMost(bound) => ("<=", bound),
            AtLeast(bound) => (">=", bound),
        };
        let mut wanted = format!("{sign} {}", unit.render(bound));
        if let Some(aim) = self.aim {
            wanted = format!("{wanted}, aim {}", unit.render(aim));
        }
        let verdict = match self.aim {
            Some(aim) if self.bound.at(aim).allows(spread.median) => "reached, aim too",
            _ if self.bound.allows(spread.median) => "reached",
            _ => "**missed**",
        };
        Some(Verdict { what, wanted, measured: spread.show(unit), verdict })
    }
}

impl Bound {
    fn at(self, bound: f64) -> Self {
        match self {
            AtMost(_) => AtMost(bound),
            AtLeast(_) => AtLeast(bound),
        }
    }

    fn allows(self, value: f64) -> bool {
        match self {
            AtMost(bound) => value <= bound,
            AtLeast(bound) => value >= bound,
        }
    }
}
