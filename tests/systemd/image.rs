//! The parts of a machine: a root file system to boot and the package to install in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Both made once for all machines of this process, and kept under `target/` for the next.
pub(crate) struct Image {
    /// A Debian with systemd in it. Never written to.
    pub(crate) root: PathBuf,
    /// The package under test: the one that `SHIBUDB_TEST_PACKAGE` names, else built from here.
    pub(crate) package: PathBuf,
}

impl Image {
    /// The image, made on the first call. Panics with the reason when it cannot be made.
    pub(crate) fn get() -> &'static Self {
        static IMAGE: OnceLock<Image> = OnceLock::new();
        IMAGE.get_or_init(|| {
            assert!(rustix::process::geteuid().is_root(), "booting a machine needs root");
            let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("systemd");
            Self {
                root: made_by(Command::new(source("tests/systemd/rootfs.sh")).arg(cache)),
                package: match std::env::var_os("SHIBUDB_TEST_PACKAGE") {
                    Some(built) => PathBuf::from(built).canonicalize().unwrap(),
                    None => made_by(&mut Command::new(source("packaging/build-deb.sh"))),
                },
            }
        })
    }
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a script whose last line of output is the path of its result.
fn made_by(script: &mut Command) -> PathBuf {
    let output = script.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{script:?} failed");
    let path = String::from_utf8(output.stdout).unwrap().lines().last().map(PathBuf::from);
    path.filter(|path| path.exists()).unwrap_or_else(|| panic!("{script:?} made nothing"))
}
