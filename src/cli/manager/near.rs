//! The management socket of a server of this machine, which is asked rather than its port if this user may: then the
//! history knows who it was, and no token is asked for.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::api::Api;
use super::place::Place;
use crate::daemon::{MANAGEMENT_SOCKET, ROOT_RUNTIME_DIR};
use crate::management::wire::ConfigReport;

/// How long a server may take to say that it is the one. One that takes longer is asked on its port.
const PATIENCE: Duration = Duration::from_secs(1);

/// The socket of the server on `port`, if there is one that this user may use. Servers have theirs in directories of
/// their own, so each is asked which port is its.
pub(super) async fn socket_of(port: u16) -> Option<PathBuf> {
    for path in candidates() {
        let Ok(api) = Api::new(Place::Socket(path.clone()), None, PATIENCE) else { continue };
        // Whoever may not use it, and a server that is gone or hangs, leave the port.
        let asked = tokio::time::timeout(PATIENCE, api.get::<ConfigReport>("/config")).await;
        if let Ok(Ok(answer)) = asked
            && answer.value.setting("port").and_then(serde_json::Value::as_u64) == Some(port.into())
        {
            return Some(path);
        }
    }
    None
}

/// The sockets in `/run/shibudb`, in the directories there (the service), and in those below (its instances).
fn candidates() -> Vec<PathBuf> {
    let below = |directory: &PathBuf| {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut directories: Vec<_> = entries.filter(|path| path.is_dir()).collect();
        directories.sort();
        directories
    };
    let root = PathBuf::from(ROOT_RUNTIME_DIR);
    let services = below(&root);
    let instances: Vec<_> = services.iter().flat_map(below).collect();
    let directories = [root].into_iter().chain(services).chain(instances);
    directories.map(|directory| directory.join(MANAGEMENT_SOCKET)).filter(|socket| socket.exists()).collect()
}
