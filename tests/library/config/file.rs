//! Config files on disk, the one that is shipped, and what differs between two of them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use shibudb::config::{
    Config, Conflict, Difference, Effect, Found, Key, LoadError, MAX_FILE_SIZE, load, parse,
};

const SHIPPED: &str = include_str!("../../../etc/shibudb.toml");
const MANUAL: &str = include_str!("../../../packaging/man/shibudb.toml.5");

fn config(text: &str) -> Config {
    parse(text.as_bytes()).unwrap().config
}

/// The lines of the shipped file that are settings, including the keys that are commented out.
fn shipped_with_every_key() -> String {
    SHIPPED
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if setting.starts_with(|c: char| c.is_ascii_lowercase()) => setting,
            _ => line,
        })
        .map(|line| format!("{line}\n"))
        .collect()
}

#[test]
fn the_shipped_file_is_the_built_in_defaults() {
    assert_eq!(config(SHIPPED), Config::default());
}

#[test]
fn the_shipped_file_lists_every_key_with_its_default() {
    let shipped = parse(SHIPPED.as_bytes()).unwrap();
    for key in Key::ALL {
        assert_eq!(shipped.set.contains(&key), key.has_default(), "{key}");
    }
    let all = parse(shipped_with_every_key().as_bytes()).unwrap();
    assert_eq!(Vec::from_iter(all.set), Key::ALL);
    assert_eq!(Key::ManagementPort.value(&all.config), Key::ManagementPort.default_value());
}

#[test]
fn the_shipped_file_says_of_every_key_when_an_edit_takes_effect() {
    let text = shipped_with_every_key();
    let mut section = None;
    let mut comment = String::new();
    let mut said = Vec::new();
    for line in text.lines() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push_str(words);
        } else if let Some(name) = line.strip_prefix('[') {
            section = Some(name.trim_end_matches(']'));
        } else if let Some((leaf, _)) = line.split_once(" = ") {
            let name = section.map_or(leaf.to_owned(), |section| format!("{section}.{leaf}"));
            said.push((name, comment.trim().to_owned()));
            comment.clear();
        } else {
            comment.clear();
        }
    }
    assert_eq!(said.len(), Key::ALL.len());
    for (key, (name, comment)) in Key::ALL.into_iter().zip(said) {
        assert_eq!(key.name(), name);
        assert!(comment.ends_with(&format!(" {}", key.effect())), "{name}: {comment}");
    }
}

#[test]
fn the_manual_lists_every_key_with_its_default_and_when_an_edit_takes_effect() {
    let settings = MANUAL.split_once(".SH SETTINGS").unwrap().1.split_once(".SH ").unwrap().0;
    let mut listed = Vec::new();
    for section in settings.split("\n.SS ").skip(1) {
        let mut entries = section.split("\n.TP\n.B ");
        let section = entries.next().unwrap().strip_prefix('[').map(|name| name.trim_end_matches(']'));
        for entry in entries {
            let leaf = entry.lines().next().unwrap();
            let name = section.map_or(leaf.to_owned(), |section| format!("{section}.{leaf}"));
            listed.push((name, entry.lines().last().unwrap()));
        }
    }
    let expected = Key::ALL.map(|key| {
        (key.name().to_owned(), format!("Default: {}; {}.", key.default_in_words(), key.effect()))
    });
    let listed = Vec::from_iter(listed.iter().map(|(name, last)| (name.as_str(), *last)));
    let expected = Vec::from_iter(expected.iter().map(|(name, last)| (name.as_str(), last.as_str())));
    assert_eq!(listed, expected);
}

#[test]
fn the_examples_of_the_manual_are_config_files() {
    let examples = MANUAL.split("\n.EX\n").skip(1).map(|rest| rest.split_once("\n.EE").unwrap().0);
    let files: Vec<_> = examples.filter(|example| !example.starts_with(['$', '#'])).collect();
    assert!(files.len() >= 2, "{files:?}");
    for file in files {
        parse(format!("{file}\n").as_bytes()).unwrap_or_else(|problems| panic!("{file}\n{problems:?}"));
    }
}

#[test]
fn a_good_file_is_loaded_also_through_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let (file, link) = (dir.path().join("real.toml"), dir.path().join("shibudb.toml"));
    fs::write(&file, "max_connections = 500\n").unwrap();
    symlink(&file, &link).unwrap();
    for path in [&file, &link] {
        assert_eq!(load(path).unwrap().config.max_connections.get(), 500);
    }
}

#[test]
fn problems_are_printed_with_path_line_and_column() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shibudb.toml");
    fs::write(&path, "max_connections = -1\n[logs]\n").unwrap();
    let path = path.display();
    assert_eq!(
        load(Path::new(&path.to_string())).unwrap_err().to_string(),
        format!(
            "{path}:1:19: max_connections: connection limit must be positive, found -1\n\
             {path}:2:2: unknown section \"logs\"; did you mean \"log\"?"
        )
    );
}

#[test]
fn what_is_no_config_file_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);

    let missing = load(&at("missing")).unwrap_err();
    assert!(missing.is_missing());
    let says = format!("{}: cannot be read: No such file or directory (os error 2)", at("missing").display());
    assert_eq!(missing.to_string(), says);

    let directory = load(dir.path()).unwrap_err();
    assert!(!directory.is_missing());
    assert_eq!(directory.to_string(), format!("{}: is a directory, not a file", dir.path().display()));

    let device = load(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(device.to_string(), "/dev/zero: is not a regular file");

    symlink(at("loop"), at("loop")).unwrap();
    assert!(matches!(load(&at("loop")), Err(LoadError::Read { .. })));
}

#[test]
fn a_file_that_may_not_be_read_is_refused_by_name() {
    // Root may read everything.
    if rustix::process::geteuid().is_root() {
        return;
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o000)).unwrap();
    let says = format!("{}: cannot be read: Permission denied (os error 13)", file.path().display());
    assert_eq!(load(file.path()).unwrap_err().to_string(), says);
}

#[test]
fn a_named_pipe_is_refused_without_waiting_for_a_writer() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    assert!(matches!(load(&pipe), Err(LoadError::NotAFile { found: Found::Pipe, .. })));
}

#[test]
fn a_large_file_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("shibudb.toml");
    // Sparse: a terabyte, too much to read in time.
    fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = load(&path).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{}: is larger than 1 MiB, too large for a config file", path.display())
    );

    let mut text = "# ".to_owned();
    text.extend(std::iter::repeat_n('x', usize::try_from(MAX_FILE_SIZE).unwrap() - text.len()));
    fs::write(&path, &text).unwrap();
    assert!(load(&path).is_ok());
    text.push('x');
    fs::write(&path, &text).unwrap();
    assert!(matches!(load(&path), Err(LoadError::TooLarge { .. })));
}

#[test]
fn a_difference_tells_what_is_live_from_what_waits() {
    let old = config("port = 9090\nmax_connections = 1000\n");
    let new =
        config("port = 9091\nmax_connections = 500\nclient.idle_timeout = '5m'\nstorage.path = '/srv/x'\n");
    let difference = Difference::between(&old, &new);
    let written =
        |changes: &[shibudb::config::Change]| Vec::from_iter(changes.iter().map(ToString::to_string));
    assert_eq!(written(&difference.live), ["max_connections: 1000 -> 500", "client.idle_timeout: 0s -> 5m"]);
    assert_eq!(
        written(&difference.restart),
        ["port: 9090 -> 9091", "management.port: 10090 -> 10091", "storage.path: default -> /srv/x"]
    );
}

#[test]
fn naming_a_default_changes_nothing() {
    let named = config("port = 9090\nmanagement.port = 10090\nclient.max_request = 1048576\n");
    assert!(Difference::between(&Config::default(), &named).is_empty());
}

#[test]
fn every_key_of_a_difference_is_on_the_side_of_its_effect() {
    for key in Key::ALL {
        assert_eq!(key.effect().is_live(), key.effect() != Effect::Restart, "{key}");
        assert!(key.name().ends_with(key.leaf()));
        // The shipped file omits the management port, which is derived.
        let shown = key.has_default() || key == Key::ManagementPort;
        assert_eq!(key.default_value().is_some(), shown, "{key}");
    }
}

#[test]
fn command_line_values_are_validated_like_the_file() {
    let mut config = Config { port: 64535, ..Config::default() };
    assert_eq!(config.validate(), Ok(()));
    assert_eq!(config.management_port(), 65535);
    config.port = 64536;
    assert_eq!(config.validate(), Err(vec![Conflict::ManagementPortTooHigh { port: 64536 }]));
    config.management.port = Some(64536);
    assert_eq!(config.validate(), Err(vec![Conflict::ManagementPortTaken { port: 64536 }]));
    config.management.port = Some(64537);
    assert_eq!(config.validate(), Ok(()));
}

#[test]
fn any_free_port_brings_any_free_management_port() {
    let config = Config { port: 0, ..Config::default() };
    assert_eq!((config.validate(), config.management_port()), (Ok(()), 0));
}
