//! What the shell offers when somebody presses Tab: commands, then the ports of running servers, then options.
//!
//! The scripts under `packaging/completions` only ask this program, which knows both its own arguments and what runs
//! here.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;

use super::stop;
use crate::config::{self, Config};
use crate::daemon::{DEFAULT_CONFIG, Running, look_dirs, pid_file_path};
use crate::signals::{self, Held};

/// The variable that names the requesting shell. Not the usual `COMPLETE`, which may be set by chance in the
/// environment of a server.
pub const VARIABLE: &str = "SHIBUDB_COMPLETE";

/// Answers a shell and ends the process, if one asks. An answer can be interrupted; without a question the signals
/// stay held.
pub(super) fn answer(held: Held) -> io::Result<Held> {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty() || shell == "0") {
        return Ok(held);
    }
    held.release()?;
    CompleteEnv::with_factory(super::command).var(VARIABLE).bin("shibudb").completer("shibudb").complete();
    signals::hold()
}

/// The ports of all running servers on this machine that this user can detect.
pub(super) fn servers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let mut ports = started();
        ports.extend(service());
        candidates(ports)
    })
}

/// The ports of servers that `start` began.
pub(super) fn started_servers() -> ArgValueCandidates {
    ArgValueCandidates::new(|| candidates(started()))
}

fn candidates(ports: BTreeSet<u16>) -> Vec<CompletionCandidate> {
    let candidate =
        |port: u16| CompletionCandidate::new(port.to_string()).help(Some("a running server".into()));
    ports.into_iter().map(candidate).collect()
}

fn started() -> BTreeSet<u16> {
    let dirs = look_dirs().unwrap_or_default();
    let is_running =
        |dir: &Path, port| Running::find(&pid_file_path(dir, port)).is_ok_and(|found| found.is_some());
    dirs.iter()
        .flat_map(|dir| {
            let ports = stop::ports(dir).unwrap_or_default();
            ports.into_iter().filter(move |&port| is_running(dir, port))
        })
        .collect()
}

/// The port of the service, if there are listeners on it and on its management port.
fn service() -> Option<u16> {
    let config = match config::load(Path::new(DEFAULT_CONFIG)) {
        Ok(parsed) => parsed.config,
        Err(_) => Config::default(),
    };
    let listening = listening();
    let both = [config.port, config.management_port()].iter().all(|port| listening.contains(port));
    both.then_some(config.port)
}

/// The ports of this machine that have a listener, from the kernel's table: a connection to test a port would count
/// against the server's limit.
fn listening() -> BTreeSet<u16> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().filter_map(listener)).collect()
}

/// The port in a line of `/proc/net/tcp`, if the line describes a listening socket.
fn listener(line: &str) -> Option<u16> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (_, port) = local.rsplit_once(':')?;
    if state == "0A" { u16::from_str_radix(port, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_known() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(listening().contains(&port));
        let open = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        assert!(!listening().contains(&open.local_addr().unwrap().port()));
    }
}
