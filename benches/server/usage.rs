//! The resource usage of a process: CPU time to the nanosecond, and memory.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use nix::unistd::{SysconfVar, sysconf};

/// CPU time of a process over an interval, including its ended threads.
pub(crate) struct Meter {
    pid: u32,
    server: Duration,
    own: Duration,
    busy: Duration,
    begin: Instant,
}

/// The result of a [`Meter`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Used by the server.
    pub(crate) server: Duration,
    /// Used by neither the server nor the load generator, as a share of the whole machine. A large value marks a
    /// disturbed measurement.
    pub(crate) others: f64,
}

impl Meter {
    pub(crate) fn start(pid: u32) -> Result<Self> {
        Ok(Self {
            pid,
            server: cpu_time(pid)?,
            own: cpu_time(std::process::id())?,
            busy: busy_time()?,
            begin: Instant::now(),
        })
    }

    pub(crate) fn stop(self) -> Result<Used> {
        let server = cpu_time(self.pid)? - self.server;
        let own = cpu_time(std::process::id())? - self.own;
        let others = (busy_time()? - self.busy).saturating_sub(server + own);
        let cores = std::thread::available_parallelism()?.get() as f64;
        let others = others.as_secs_f64() / (self.begin.elapsed().as_secs_f64() * cores);
        Ok(Used { server, others })
    }
}

/// User and system time of a process since its start.
fn cpu_time(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?)).context("the server is gone")?;
    Ok(clock.now().context("the server is gone")?.into())
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("VmRSS is missing in /proc/PID/status")?.parse::<f64>()? * 1024.0)
}

/// The time for which this machine's cores were not idle since boot.
fn busy_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let cpu = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = cpu.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy = ticks.iter().sum::<u64>() - ticks.iter().skip(3).take(2).sum::<u64>();
    let tick = sysconf(SysconfVar::CLK_TCK)?.context("the length of a clock tick is not known")?;
    Ok(Duration::from_secs_f64(busy as f64 / tick as f64))
}
