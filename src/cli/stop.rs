//! `shibudb stop`: ends a server that `start` began.
//!
//! It waits for the server's end, reports what the server is still doing, and finally gives up: `--force` ends a
//! server that hangs. Only a process that is proven to be the server is ever signalled.

mod waiting;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::progress::Progress;
use super::{Failure, completion, failed, number, say};
use crate::daemon::{FindError, Running, look_dirs, pid_file_path};
use waiting::Ending;

/// How often to check for progress to report while the server ends.
const LOOK: Duration = Duration::from_millis(500);

/// How long a killed process may take to end. It takes longer only if it waits for a disk.
const KILLED: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Port of the server; optional if only one was started
    #[arg(allow_negative_numbers = true, value_parser = number::port, add = completion::started_servers())]
    port: Option<u16>,
    /// How long to wait for the server to exit [default: its drain_timeout plus 10; 40 if unknown]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true, value_parser = number::timeout)]
    timeout: Option<Duration>,
    /// Kill a server that hangs (SIGKILL). Connections break; stored data is not harmed
    #[arg(long)]
    force: bool,
}

pub(super) fn stop(args: &StopArgs) -> Result<(), Failure> {
    let directories = look_dirs().map_err(failed)?;
    let (port, server) = match args.port {
        Some(port) => (port, find(&directories, port)?),
        None => only_one(&directories)?,
    };
    let cannot = |error: io::Error| failed(format!("cannot stop process {}: {error}", server.pid));
    if args.force {
        server.kill().map_err(cannot)?;
        say(format_args!("Killing shibudb on port {port} (PID {})", server.pid));
        killed(port, &server, args.timeout.unwrap_or(KILLED))?;
    } else {
        server.terminate().map_err(cannot)?;
        say(format_args!(
            "Stopping shibudb on port {port} (PID {}); open connections may finish",
            server.pid
        ));
        stopped(port, &server, args.timeout)?;
    }
    say("Stopped");
    Ok(())
}

/// Waits for the end of a server that was asked to stop.
fn stopped(port: u16, server: &Running, timeout: Option<Duration>) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut ending = Ending::of(port, server).map_err(failed)?;
    let mut progress = Progress::new(None, "{spinner} {msg}");
    while !server.has_ended_within(LOOK).map_err(failed)? {
        let doing = ending.look();
        let bound = timeout.unwrap_or(ending.longest());
        if begun.elapsed() >= bound {
            drop(progress);
            return Err(failed(format!(
                "the server on port {port} (PID {}) is still stopping after {} s: {doing}. Run `shibudb stop {port}` \
                 again to stop it at once, `shibudb stop {port} --force` to kill it, or use --timeout to wait longer",
                server.pid,
                begun.elapsed().as_secs()
            )));
        }
        let words = format!(
            "waiting for the server on port {port} (PID {}) to exit: {doing}; a second `shibudb stop` stops it at \
             once, `shibudb stop --force` kills it",
            server.pid
        );
        progress.tell(&words, |_| words.clone());
    }
    Ok(())
}

/// Waits for the end of a server that was killed, which only the kernel can put off.
fn killed(port: u16, server: &Running, longest: Duration) -> Result<(), Failure> {
    if server.has_ended_within(longest).map_err(failed)? {
        return Ok(());
    }
    Err(failed(format!(
        "the server on port {port} (PID {}) was killed but has not exited after {} s; the kernel may be waiting for \
         a disk",
        server.pid,
        longest.as_secs()
    )))
}

fn find(directories: &[PathBuf], port: u16) -> Result<Running, Failure> {
    let mut problem = None;
    for directory in directories {
        match look(directory, port) {
            Ok(Some(server)) => return Ok(server),
            Ok(None) => {}
            Err(error) => problem = Some(error),
        }
    }
    Err(problem.unwrap_or_else(|| {
        failed(format!(
            "no server started with `shibudb start {port}` is running; to stop a systemd service, use `systemctl \
             stop shibudb`"
        ))
    }))
}

fn look(directory: &Path, port: u16) -> Result<Option<Running>, Failure> {
    match Running::find(&pid_file_path(directory, port)) {
        // This user has not used a directory that it cannot read.
        Err(FindError::Read { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => Ok(None),
        found => found.map_err(failed),
    }
}

fn only_one(directories: &[PathBuf]) -> Result<(u16, Running), Failure> {
    let mut running = Vec::new();
    let mut problem = None;
    for directory in directories {
        for port in ports(directory)? {
            match look(directory, port) {
                Ok(server) => running.extend(server.map(|server| (port, server))),
                Err(error) => problem = Some(error),
            }
        }
    }
    running.sort_unstable_by_key(|(port, _)| *port);
    match (running.pop(), running.as_slice()) {
        (None, _) => {
            Err(problem.unwrap_or_else(|| failed("no server started with `shibudb start` is running")))
        }
        (Some(one), []) => Ok(one),
        (Some(last), others) => {
            let ports = others.iter().chain([&last]).map(|(port, _)| port.to_string()).collect::<Vec<_>>();
            Err(failed(format!("several servers are running; give one of the ports {}", ports.join(", "))))
        }
    }
}

/// The ports of the PID files.
pub(super) fn ports(directory: &Path) -> Result<Vec<u16>, Failure> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(format!("cannot read {}: {error}", directory.display()))),
    };
    let mut ports = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let port: Option<u16> =
            path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        ports.extend(port.filter(|_| path.extension().is_some_and(|extension| extension == "pid")));
    }
    Ok(ports)
}
