//! The Unix socket of the management API: created at the start, removed at the end.
//!
//! Every run binds it anew and systemd does not keep it: clients know only its path,
//! and retry if there is no listener for a moment.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::{BindError, bounded};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// How long its removal may take.
const REMOVAL: Duration = Duration::from_secs(1);

/// A bound socket.
#[derive(Debug)]
pub(super) struct UnixSocket {
    pub(super) listener: UnixListener,
    /// To be kept for as long as the socket is listened on.
    pub(super) file: SocketFile,
}

/// The socket's file, which is removed when this is dropped.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode of the created file.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Creates the socket, replacing one that an earlier run left behind without a listener.
    pub(super) fn bind(path: &Path, mode: u32) -> Result<Self, BindError> {
        let failed = |source| BindError::Socket { path: path.to_owned(), source };
        make_way(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(failed)?;
        socket.bind(&SockAddr::unix(path).map_err(failed)?).map_err(failed)?;
        let metadata = fs::symlink_metadata(path).map_err(failed)?;
        let file = SocketFile { path: path.to_owned(), identity: identity(&metadata) };
        // Before it listens: until then no client can connect, whatever the umask allows.
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        Ok(Self { listener: socket.into(), file })
    }
}

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let (path, ours) = (self.path.clone(), self.identity);
        let remove = move || {
            // Another process may have created one in its place.
            let is_ours = fs::symlink_metadata(&path).is_ok_and(|found| identity(&found) == ours);
            if is_ours { fs::remove_file(&path) } else { Ok(()) }
        };
        let removed = bounded::within(REMOVAL, remove).unwrap_or_else(|| {
            let words = format!("the file system has not responded for {REMOVAL:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, words))
        });
        if let Err(error) = removed {
            let path = self.path.display();
            tracing::warn!(%error, %path, "cannot remove the management socket {path}: {error}");
        }
    }
}

/// Removes a socket without a listener. Any other file stays.
fn make_way(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
    }
    match knock(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(()) => Err(BindError::SocketInUse(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// Connects, if there is a listener. One with a full backlog counts, too.
fn knock(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        result => result,
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_left_behind_makes_way_and_one_in_use_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("management.sock");
        // Dropping a listener leaves its file.
        drop(UnixListener::bind(&path).unwrap());
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(UnixSocket::bind(&path, 0o600), Err(BindError::SocketInUse(_))));
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_no_socket_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "data").unwrap();
        assert!(matches!(UnixSocket::bind(&path, 0o600), Err(BindError::NotASocket(_))));
        assert_eq!(fs::read(&path).unwrap(), b"data");
    }

    #[test]
    fn what_others_have_put_in_its_place_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("management.sock");
        let socket = UnixSocket::bind(&path, 0o600).unwrap();
        fs::rename(&path, dir.path().join("aside")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }
}
