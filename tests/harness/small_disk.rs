//! A small disk that a test can fill.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Client;
use super::sandbox::Sandbox;

/// More than a server needs to start, and little enough to fill quickly.
const SIZE: &str = "200m";

/// A tmpfs in a sandbox.
pub(crate) struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    pub(crate) fn mount(sandbox: &Sandbox) -> Self {
        sandbox.run(&format!("mkdir disk && mount -t tmpfs -o size={SIZE} none disk"));
        Self { path: sandbox.home().join("disk") }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Fills the disk, and returns when the server of the administrator `admin` has refused a write.
    pub(crate) fn fill(&self, admin: &mut Client) {
        admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "filler"}), "SPACE_CREATED");
        self.take_all_room("filler");
        let value = "x".repeat(50_000);
        // The store has reserved some space.
        for number in 0.. {
            let key = format!("k{number}");
            let put = json!({"type": "PUT", "space": "filler", "key": key, "value": value});
            if admin.ask(&put)["status"] != "OK" {
                break;
            }
        }
        // The store may have deleted files meanwhile.
        self.take_all_room("rest");
    }

    fn take_all_room(&self, file: &str) {
        // More than the whole disk: the part that fits stays.
        fs::write(self.path.join(file), vec![1; 256 << 20]).unwrap_err();
    }

    /// Frees the disk again.
    pub(crate) fn free(&self) {
        for file in ["filler", "rest"] {
            fs::remove_file(self.path.join(file)).unwrap();
        }
    }
}
