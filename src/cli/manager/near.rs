//! The management socket of a server on this machine. If this user has access, the manager prefers it to the port: the
//! history then names the user, and no token is needed.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;

use super::api::Api;
use super::endpoint::Endpoint;
use crate::daemon::{MANAGEMENT_SOCKET, ROOT_RUNTIME_DIR};
use crate::management::wire::ConfigReport;

/// How long a server may take to confirm that it is the wanted one. After that, the manager uses its port.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// Write permission of users other than the owner.
const OTHERS_WRITE: u32 = 0o022;

/// The socket of the server on `port`, if there is one that this user may use. Each server has its socket in a
/// directory of its own, so all are asked for their port: at once, for no longer than `timeout`.
pub(super) async fn socket_of(port: u16, timeout: Duration) -> Option<PathBuf> {
    let max_wait = MAX_WAIT.min(timeout);
    let asked = sockets(Path::new(ROOT_RUNTIME_DIR)).into_iter().map(|path| async move {
        let api = Api::new(Endpoint::Socket(path.clone()), None, max_wait).ok()?;
        // Without access, or if the server is gone or hangs, the port remains.
        let asked = tokio::time::timeout(max_wait, api.get::<ConfigReport>("/config")).await;
        let answer = asked.ok()?.ok()?;
        let its = answer.value.setting("port").and_then(serde_json::Value::as_u64);
        (its == Some(port.into())).then_some(path)
    });
    let answers: FuturesOrdered<_> = asked.collect();
    answers.filter_map(std::future::ready).boxed_local().next().await
}

/// The sockets of servers: in the directory itself, in the service's and in those of its instances. Other owners of a
/// directory below it, such as users that root's servers switched to, could answer in the place of a server.
fn sockets(root: &Path) -> Vec<PathBuf> {
    let instances = root.join("instances");
    let mut directories = vec![root.to_owned(), root.join("service")];
    if is_closed(&instances) {
        let found = fs::read_dir(&instances).into_iter().flatten().flatten().map(|entry| entry.path());
        directories.extend(found.collect::<BTreeSet<_>>());
    }
    // Only its owner may decide whose directories are below it.
    directories.retain(|directory| is_closed(root) && is_closed(directory));
    directories.into_iter().filter_map(|directory| socket_in(&directory)).collect()
}

/// Whether it is a directory to which only its owner can add something.
fn is_closed(directory: &Path) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|its| its.is_dir() && its.mode() & OTHERS_WRITE == 0)
}

/// The socket of the directory's owner.
fn socket_in(directory: &Path) -> Option<PathBuf> {
    let path = directory.join(MANAGEMENT_SOCKET);
    let (folder, socket) = (fs::symlink_metadata(directory).ok()?, fs::symlink_metadata(&path).ok()?);
    (socket.file_type().is_socket() && [0, folder.uid()].contains(&socket.uid())).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn only_sockets_of_servers_are_asked() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let made: Vec<_> =
            ["", "instances/b", "instances/a", "service", "users/1000", "other", "instances/open"]
                .map(|name| {
                    let directory = root.join(name);
                    fs::create_dir_all(&directory).unwrap();
                    let mode = if name.ends_with("open") { 0o777 } else { 0o755 };
                    fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
                    UnixListener::bind(directory.join(MANAGEMENT_SOCKET)).unwrap()
                })
                .into();
        fs::set_permissions(root.join("instances"), Permissions::from_mode(0o755)).unwrap();
        let expected = ["", "service", "instances/a", "instances/b"];
        assert_eq!(sockets(root), expected.map(|name| root.join(name).join(MANAGEMENT_SOCKET)));
        // The listeners exist until here.
        drop(made);
        if rustix::process::geteuid().is_root() {
            let strangers = root.join("service").join(MANAGEMENT_SOCKET);
            std::os::unix::fs::chown(&strangers, Some(65534), None).unwrap();
            assert!(!sockets(root).contains(&strangers));
        }
        fs::set_permissions(root, Permissions::from_mode(0o777)).unwrap();
        assert!(sockets(root).is_empty());
    }
}
