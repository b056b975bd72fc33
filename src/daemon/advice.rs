//! Advice for errors of the operating system whose own text does not say what to do.
//!
//! Each function returns the text to append to the error message, or nothing.

use std::fs;
use std::io;
use std::path::Path;

use crate::store::OpenError;

/// Advice for a file or directory that cannot be created or written.
pub(super) fn of_file(path: &Path, error: &io::Error) -> &'static str {
    // `ProtectHome=` makes these inaccessible.
    let hidden = ["/home", "/root", "/run/user"].iter().any(|home| path.starts_with(home));
    match error.kind() {
        _ if !is_service() => "",
        io::ErrorKind::ReadOnlyFilesystem => {
            "; if the disk is fine, the service's sandbox blocks the write: add ReadWritePaths= with this directory \
             below [Service] in `systemctl edit shibudb`"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound if hidden => {
            "; the service's sandbox hides home directories: use another directory, or set ProtectHome=no and \
             ReadWritePaths= below [Service] in `systemctl edit shibudb`"
        }
        _ => "",
    }
}

/// Advice for a store that cannot be opened.
pub(super) fn of_store(error: &OpenError) -> &'static str {
    match error {
        OpenError::NotUsable { path, source } => of_file(path, source),
        OpenError::InUse { .. } => {
            ", such as a server on another port; stop it, or use another directory with --data-dir"
        }
        _ => "",
    }
}

/// Advice for a port that the server cannot listen on.
pub(super) fn of_port(port: u16, error: &io::Error) -> String {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let first = first.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024);
    if error.kind() != io::ErrorKind::PermissionDenied || port >= first {
        return String::new();
    }
    let how = if is_service() {
        ": add AmbientCapabilities=CAP_NET_BIND_SERVICE and CapabilityBoundingSet=CAP_NET_BIND_SERVICE below [Service] \
         in `systemctl edit shibudb`, or choose a higher port"
    } else {
        "; choose a higher one"
    };
    format!("; a port below {first} needs the capability CAP_NET_BIND_SERVICE{how}")
}

/// Whether systemd has started this very process, so that a unit and its sandbox apply.
fn is_service() -> bool {
    let started = std::env::var("SYSTEMD_EXEC_PID").ok();
    started.and_then(|pid| pid.parse().ok()) == Some(std::process::id())
}
