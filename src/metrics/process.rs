//! Prometheus' standard metrics of a process, under their usual names: read from `/proc`.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

use super::{counter, gauge};

#[derive(Debug)]
pub(super) struct Process {
    /// Seconds since 1970, if the system reports it.
    started: Option<f64>,
}

/// The content of `/proc/self/stat`, times in clock ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    user: u64,
    system: u64,
    /// Since the boot of the machine.
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Process {
    pub(super) fn of_this() -> Self {
        Self { started: started() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        if let Some(open) = open_files() {
            gauge(encoder, "process_open_fds", None, "Open file descriptors", open)?;
        }
        // No number means no limit.
        if let Some(most) = getrlimit(Resource::Nofile).current {
            gauge(encoder, "process_max_fds", None, "The most file descriptors that may be open", most)?;
        }
        if let Some(started) = self.started {
            let help = "When the process was started";
            gauge(encoder, "process_start_time", Some(&Unit::Seconds), help, started)?;
        }
        let Some(stat) = Stat::read() else { return Ok(()) };
        let resident = stat.resident_pages * page_size() as u64;
        gauge(encoder, "process_resident_memory", Some(&Unit::Bytes), "Memory in use", resident)?;
        let virtual_memory = "Address space in use";
        gauge(encoder, "process_virtual_memory", Some(&Unit::Bytes), virtual_memory, stat.virtual_bytes)?;
        let cpu = "Processor time spent";
        counter(encoder, "process_cpu", Some(&Unit::Seconds), cpu, ticks(stat.user + stat.system))
    }
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name, in brackets, with any characters in it.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // Numbered as in proc(5), where the first of these is the third.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            user: field(14)?,
            system: field(15)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn started() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot: u32 = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(f64::from(boot) + ticks(Stat::read()?.started))
}

#[expect(clippy::cast_precision_loss, reason = "a hundredth of a second in a million years is near enough")]
fn ticks(ticks: u64) -> f64 {
    ticks as f64 / clock_ticks_per_second() as f64
}

fn open_files() -> Option<u64> {
    // Since Linux 6.2 the directory's size is the number; before, it is 0, and counting is the only way.
    let said = fs::metadata("/proc/self/fd").ok()?.len();
    if said > 0 {
        return Some(said);
    }
    // The descriptor that reads the directory is among them.
    let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    Some(open.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let text = "7 (a) (b 1) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 12345 1048576 256 18446744073709551615 1";
        let expected =
            Stat { user: 250, system: 50, started: 12345, virtual_bytes: 1_048_576, resident_pages: 256 };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_young_and_has_files_open() {
        let age = jiff::Timestamp::now().as_second() as f64 - started().unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age}");
        assert!(open_files().unwrap() >= 3);
    }
}
