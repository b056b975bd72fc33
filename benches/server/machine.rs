//! Describes the machine and the time, without personal data.

use std::fs;
use std::process::Command;

use jiff::Timestamp;
use rustix::system::uname;

/// The machine: its cores, their model, the kernel; and the version of redis, if any.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let uname = uname();
    let system = format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
    let redis = output("redis-server", &["--version"])
        .and_then(|text| Some(text.split_once("v=")?.1.split_whitespace().next()?.to_owned()))
        .map_or_else(|| "no redis".to_owned(), |version| format!("redis {version}"));
    format!("{cores} cores of {}, {system}, {redis}", model())
}

/// The day in UTC, and the commit that was built.
pub(crate) fn when() -> String {
    format!("{}, commit {}", Timestamp::now().strftime("%Y-%m-%d"), commit())
}

fn model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or("an unknown model", |(_, model)| model.trim())
        .to_owned()
}

fn commit() -> String {
    let here = env!("CARGO_MANIFEST_DIR");
    let Some(commit) = output("git", &["-C", here, "rev-parse", "--short=10", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changes = ["-C", here, "status", "--porcelain", "--", "src", "Cargo.toml", "Cargo.lock"];
    let changed = output("git", &changes).is_some_and(|changes| !changes.is_empty());
    format!("{commit}{}", if changed { " with changes" } else { "" })
}

/// The output of a program, if it can be run.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
