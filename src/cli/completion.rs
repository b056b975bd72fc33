//! Completions for the shell's Tab key: commands, then the ports of running servers, then options.
//!
//! The scripts under `packaging/completions` only call this program, which knows both its own arguments and the
//! running servers.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;

use super::stop;
use crate::config::{self, Config};
use crate::daemon::{DEFAULT_CONFIG, Running, look_dirs, pid_file_path};
use crate::identity::listening_ports;
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
    let listening = listening_ports();
    let both = [config.port, config.management_port()].iter().all(|port| listening.contains(port));
    both.then_some(config.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_known() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(listening_ports().contains(&port));
        let open = std::net::TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        assert!(!listening_ports().contains(&open.local_addr().unwrap().port()));
    }
}
