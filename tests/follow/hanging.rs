//! Config and token files on a file system that stops answering.

use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{HangingFs, hanging_fs, wait_until};
use crate::witness::{again_beneath, is_inside};

#[test]
fn the_hanging_file_system_is_one_until_it_hangs() {
    const NAME: &str = "hanging::the_hanging_file_system_is_one_until_it_hangs";
    if !is_inside() {
        again_beneath(&hanging_fs::WORLD, NAME);
        return;
    }
    let hanging = HangingFs::new();
    let (path, source) = (hanging.path(), hanging.source());
    fs::create_dir_all(path.join("a/b")).unwrap();
    fs::write(path.join("a/b/new"), "text").unwrap();
    fs::rename(path.join("a/b/new"), path.join("a/file")).unwrap();
    assert_eq!(fs::read(source.join("a/file")).unwrap(), b"text");
    std::os::unix::fs::symlink("a/file", path.join("link")).unwrap();
    fs::write(source.join("a/file"), "longer text").unwrap();
    assert_eq!(fs::read(path.join("link")).unwrap(), b"longer text");
    let names = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<std::collections::BTreeSet<_>>(), ["a".into(), "link".into()].into());
    fs::remove_file(path.join("link")).unwrap();
    fs::write(path.join("a/file"), "").unwrap();
    assert_eq!(fs::read(source.join("a/file")).unwrap(), b"");

    hanging.freeze();
    let cat = || Command::new("cat").arg(path.join("a/file")).stdout(Stdio::null()).spawn().unwrap();
    let (mut killed, mut patient) = (cat(), cat());
    hanging.wait_for_waiters();
    killed.kill().unwrap();
    assert!(!killed.wait().unwrap().success());
    assert!(patient.try_wait().unwrap().is_none());
    hanging.thaw();
    wait_until("it is answered", || patient.try_wait().unwrap().is_some_and(|status| status.success()));
}
