//! `shibudb stop`: ends what `start` began.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use std::time::Duration;

use clap::Args;

use super::progress::Progress;
use super::{Failure, failed, say};
use crate::daemon::{FindError, Running, look_dirs, pid_file_path};

/// How often it is looked whether there is something to say while the server ends.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct StopArgs {
    /// Port of the server; may be left out if only one was started
    #[arg(value_parser = super::port)]
    port: Option<u16>,
}

pub(super) fn stop(args: &StopArgs) -> Result<(), Failure> {
    let directories = look_dirs().map_err(failed)?;
    let (port, server) = match args.port {
        Some(port) => (port, find(&directories, port)?),
        None => only_one(&directories)?,
    };
    server.terminate().map_err(|error| failed(format!("cannot stop process {}: {error}", server.pid)))?;
    say(format_args!("Stopping shibudb on port {port} (PID {}); open connections may finish", server.pid));
    let mut progress = Progress::new(None, "{spinner} {msg}");
    while !server.has_ended_within(LOOK).map_err(failed)? {
        let words = format!(
            "waiting for the server on port {port} to end (PID {}); a second `shibudb stop` ends it at once",
            server.pid
        );
        progress.tell(&words, |_| words.clone());
    }
    drop(progress);
    say("Stopped");
    Ok(())
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
            "no shibudb is running that `shibudb start {port}` began; a systemd service is stopped with \
             `systemctl stop shibudb`"
        ))
    }))
}

fn look(directory: &Path, port: u16) -> Result<Option<Running>, Failure> {
    match Running::find(&pid_file_path(directory, port)) {
        // A directory that cannot be looked into is none that this user has used.
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
            Err(problem.unwrap_or_else(|| failed("no shibudb is running that `shibudb start` began")))
        }
        (Some(one), []) => Ok(one),
        (Some(last), others) => {
            let ports = others.iter().chain([&last]).map(|(port, _)| port.to_string()).collect::<Vec<_>>();
            Err(failed(format!("several servers are running; name one of the ports {}", ports.join(", "))))
        }
    }
}

/// The ports that PID files stand for.
fn ports(directory: &Path) -> Result<Vec<u16>, Failure> {
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
