//! Every way of editing, ten times each in random order, on one server.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::witness::{Dice, NO_INOTIFY, PROMISE, converges};
use crate::harness::{
    OWN_MOUNTS, Server, Setup, again_beneath, is_beneath, is_inside, this_test, wait_until, within,
};

/// How often each way is used.
const TIMES: usize = 10;

/// A way to change the limit in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    InPlace,
    TruncateThenWrite,
    RenameOver,
    Vim,
    Sed,
    ParentLink,
    ConfigMap,
    FileAgain,
    DirectoryAgain,
    FileMounted,
    DirectoryMounted,
    DuringStart,
}

const WAYS: [Way; 12] = [
    Way::InPlace,
    Way::TruncateThenWrite,
    Way::RenameOver,
    Way::Vim,
    Way::Sed,
    Way::ParentLink,
    Way::ConfigMap,
    Way::FileAgain,
    Way::DirectoryAgain,
    Way::FileMounted,
    Way::DirectoryMounted,
    Way::DuringStart,
];

/// The edited file, `conf/shibudb.toml`, to which the server's path is a link.
struct Place {
    home: PathBuf,
    conf: PathBuf,
    file: PathBuf,
    /// Makes new names.
    count: u64,
}

impl Place {
    fn of(server: &Server) -> Self {
        let home = server.config_path().parent().unwrap().to_owned();
        let conf = home.join("conf");
        let place = Self { file: conf.join("shibudb.toml"), conf, home, count: 0 };
        fs::create_dir(&place.conf).unwrap();
        fs::rename(server.config_path(), &place.file).unwrap();
        symlink("conf/shibudb.toml", server.config_path()).unwrap();
        place
    }

    fn new_path(&mut self, prefix: &str) -> PathBuf {
        self.count += 1;
        self.home.join(format!("{prefix}{}", self.count))
    }

    /// A new directory with a config file in it.
    fn directory(&mut self, limit: u64) -> PathBuf {
        let directory = self.new_path("v");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("shibudb.toml"), text(limit)).unwrap();
        directory
    }

    /// Makes `link` point to `target`, atomically.
    fn link(&mut self, target: &Path, link: &Path) {
        let temporary = self.new_path("link");
        symlink(target, &temporary).unwrap();
        fs::rename(temporary, link).unwrap();
    }

    /// Removes `conf`, whatever it is.
    fn remove_conf(&self) {
        if self.conf.is_symlink() {
            fs::remove_file(&self.conf).unwrap();
        } else {
            fs::remove_dir_all(&self.conf).unwrap();
        }
    }
}

fn text(limit: u64) -> String {
    format!("# edited by a test\nmax_connections = {limit}\n")
}

fn edit(place: &mut Place, way: Way, limit: u64) {
    let text = text(limit);
    match way {
        Way::InPlace => fs::write(&place.file, text).unwrap(),
        Way::TruncateThenWrite => {
            let mut file = OpenOptions::new().write(true).truncate(true).open(&place.file).unwrap();
            // Longer than the server waits for further writes.
            thread::sleep(Duration::from_millis(200));
            file.write_all(text.as_bytes()).unwrap();
        }
        Way::RenameOver => {
            let temporary = place.conf.join(".shibudb.toml.new");
            let mut file = File::create(&temporary).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.sync_all().unwrap();
            fs::rename(temporary, &place.file).unwrap();
        }
        Way::Vim => {
            let backup = place.conf.join("shibudb.toml~");
            fs::write(place.conf.join("4913"), "").unwrap();
            fs::remove_file(place.conf.join("4913")).unwrap();
            fs::rename(&place.file, &backup).unwrap();
            let mut file = File::create(&place.file).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            file.sync_all().unwrap();
            drop(file);
            fs::remove_file(backup).unwrap();
        }
        Way::Sed => {
            let script = format!("s/^max_connections = .*/max_connections = {limit}/");
            let status = Command::new("sed").args(["-i", &script]).arg(&place.file).status().unwrap();
            assert!(status.success());
        }
        Way::ParentLink => {
            let directory = place.directory(limit);
            if !place.conf.is_symlink() {
                place.remove_conf();
            }
            let conf = place.conf.clone();
            place.link(&directory, &conf);
        }
        Way::ConfigMap => {
            let directory = place.directory(limit);
            let data = place.conf.join("..data");
            place.link(&directory, &data);
            if fs::read_link(&place.file).is_err() {
                let file = place.file.clone();
                place.link(Path::new("..data/shibudb.toml"), &file);
            }
        }
        Way::FileAgain => {
            fs::remove_file(&place.file).unwrap();
            fs::write(&place.file, text).unwrap();
        }
        Way::DirectoryAgain => {
            place.remove_conf();
            fs::create_dir(&place.conf).unwrap();
            fs::write(&place.file, text).unwrap();
        }
        Way::FileMounted => {
            let directory = place.directory(limit);
            mount(&directory.join("shibudb.toml"), &fs::canonicalize(&place.file).unwrap());
        }
        Way::DirectoryMounted => {
            let directory = place.directory(limit);
            mount(&directory, &fs::canonicalize(&place.conf).unwrap());
        }
        Way::DuringStart => unreachable!("has its own words below"),
    }
}

fn mount(source: &Path, target: &Path) {
    let status = Command::new("mount").arg("--bind").args([source, target]).status().unwrap();
    assert!(status.success());
}

#[test]
fn every_way_of_editing_is_followed() {
    let inside = is_inside();
    if !inside && again_beneath(&OWN_MOUNTS, this_test!()) {
        return;
    }
    let mut ways: Vec<_> = WAYS.into_iter().flat_map(|way| [way; TIMES]).collect();
    ways.retain(|way| inside || !matches!(way, Way::FileMounted | Way::DirectoryMounted));
    let mut dice = Dice::new();
    dice.shuffle(&mut ways);

    let mut server = Setup::new().config(text(1000)).start();
    let mut place = Place::of(&server);
    let mut limit = 1000;
    for (round, way) in ways.into_iter().enumerate() {
        let before = limit;
        limit += 1;
        let what = format!("{way:?}, round {round}");
        match way {
            Way::DuringStart => {
                server.kill();
                let delay = Duration::from_millis(dice.below(200));
                let written = thread::scope(|scope| {
                    let editor = scope.spawn(|| {
                        thread::sleep(delay);
                        edit(&mut place, Way::RenameOver, limit);
                    });
                    server.start_again();
                    editor.join().unwrap();
                    Timestamp::now()
                });
                // The edit may precede the first read of the file.
                wait_until(&what, || server.limit() == limit);
                within(&what, written.duration_until(Timestamp::now()).unsigned_abs(), 2 * PROMISE);
            }
            Way::FileMounted | Way::DirectoryMounted => {
                let target = if way == Way::FileMounted { &place.file } else { &place.conf };
                let target = fs::canonicalize(target).unwrap();
                edit(&mut place, way, limit);
                converges(&server, limit, Timestamp::now(), &what);
                assert!(Command::new("umount").arg(target).status().unwrap().success());
                converges(&server, before, Timestamp::now(), &format!("{what}, undone"));
            }
            way => {
                edit(&mut place, way, limit);
                converges(&server, limit, Timestamp::now(), &what);
            }
        }
        if matches!(way, Way::FileMounted | Way::DirectoryMounted) {
            limit = before;
        }
    }
}

#[test]
fn of_many_edits_in_a_row_the_last_one_counts_and_none_is_half_read() {
    let server = Setup::new().config(text(1000)).start();
    for limit in 1001..=1200 {
        server.write_config(text(limit));
    }
    converges(&server, 1200, Timestamp::now(), "the last of 200 edits");
    assert!(!server.log().contains("was not applied"));
    for change in server.get("/history").json()["changes"].as_array().unwrap() {
        let limit = change["new"].as_u64().unwrap();
        assert!((1000..=1200).contains(&limit), "{change}");
    }
}

#[test]
fn without_inotify_the_file_is_looked_at_after_one_warning() {
    if !is_beneath(&NO_INOTIFY, this_test!()) {
        return;
    }
    let server = Setup::new().config(text(1000)).start();
    let mut place = Place::of(&server);
    let ways = [Way::InPlace, Way::RenameOver, Way::Sed, Way::ConfigMap, Way::DirectoryAgain, Way::FileAgain];
    for (limit, way) in (1001..).zip([ways, ways].concat()) {
        edit(&mut place, way, limit);
        converges(&server, limit, Timestamp::now(), &format!("{way:?}"));
    }
    server.wait_for_log("cannot watch the config file with inotify");
    let log = server.log();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("cannot watch the config file with inotify"), "{warnings:?}");
}
