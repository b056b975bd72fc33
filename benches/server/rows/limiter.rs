//! The latest results of `cargo bench --bench limiter`, to show beside the rest.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::figures::{ALONE, CONTENDED, Figures};
use crate::rounds::{Measured, SHIBUDB, Scale};

pub(crate) const BARE_ATOMIC: &str = "bare atomic";
pub(crate) const SEMAPHORE: &str = "tokio semaphore";

/// The lanes, and their names in the other benchmark.
const LANES: [(&str, &str); 4] =
    [(SHIBUDB, "limiter"), (BARE_ATOMIC, "bare atomic"), (SEMAPHORE, "tokio semaphore"), ("mutex", "mutex")];

pub(super) fn read(_: &Scale) -> Result<Measured> {
    let mut lanes = Vec::new();
    for (lane, name) in LANES {
        let alone = median("acquire and release", name)?;
        let contended = median("acquire and release, two threads", name)?;
        lanes.push((lane, vec![Figures::default().with(ALONE, alone).with(CONTENDED, contended)]));
    }
    Ok(Measured { lanes })
}

/// The median in nanoseconds, from criterion's files.
fn median(group: &str, name: &str) -> Result<f64> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().context("there is no target directory")?;
    let file = target.join("criterion").join(group).join(name).join("new/estimates.json");
    let text = fs::read_to_string(&file).context("run `cargo bench --bench limiter` first")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/limiter/mod.rs");
    ensure!(
        fs::metadata(file)?.modified()? > fs::metadata(source)?.modified()?,
        "the limiter has changed: run `cargo bench --bench limiter` first"
    );
    let estimates: Value = serde_json::from_str(&text)?;
    estimates["median"]["point_estimate"].as_f64().context("criterion has changed the form of its estimates")
}
