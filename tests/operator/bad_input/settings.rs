//! Reports about the config file and the settings in force: the values and their sources.

use std::fs;
use std::path::Path;

use crate::harness::sandbox::{Sandbox, enter};
use crate::harness::{Setup, wait_until};

fn manager(server: &crate::harness::Server, words: &str) -> String {
    String::from_utf8(server.manager(words).stdout).unwrap()
}

/// The row of a setting: its value, default and source.
#[track_caller]
fn row(config: &str, key: &str) -> String {
    let row = config.lines().find(|line| line.split_whitespace().next() == Some(key));
    row.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_config_file_that_does_not_exist_is_not_in_use() {
    enter(|sandbox| {
        if Path::new("/etc/shibudb/shibudb.toml").exists() {
            return crate::harness::skipped("there is a config file on this machine");
        }
        sandbox.start(100);
        let config = sandbox.run("shibudb manager 9090 config");
        let none =
            "\nConfig File: none; /etc/shibudb/shibudb.toml does not exist and is read once it is created\n";
        assert!(config.contains(none), "{config}");
        let answer = sandbox.run("shibudb manager 9090 config --json | jq -c '[.file, .awaited_file]'");
        assert_eq!(answer, "[null,\"/etc/shibudb/shibudb.toml\"]\n");
        // A directory that was not typed is not reported as from the command line either.
        assert_eq!(
            row(&config, "storage.path"),
            "storage.path /var/lib/shibudb /var/lib/shibudb default restart -"
        );
        sandbox.run("shibudb stop");
        let config = started_with(sandbox, "--data-dir here");
        let here = sandbox.home().join("here");
        let here = here.display();
        assert_eq!(
            row(&config, "storage.path"),
            format!("storage.path {here} /var/lib/shibudb command line restart -")
        );
    });
}

fn started_with(sandbox: &Sandbox, words: &str) -> String {
    sandbox.run(&format!("shibudb start 9090 {words} > /dev/null"));
    sandbox.run("shibudb manager 9090 config")
}

#[test]
fn settings_that_are_derived_have_their_own_default() {
    let server = Setup::new().start();
    let management = server.management_port();
    let expected = format!("management.port {management} {management} default restart -");
    assert_eq!(row(&manager(&server, "config"), "management.port"), expected);
}

#[test]
fn status_tells_of_a_broken_config_file_and_of_what_waits_for_a_restart() {
    let server = Setup::new().start();
    let status = || manager(&server, "status");
    let plain = status();
    assert_eq!(plain.lines().count(), 3, "{plain}");
    server.write_config("max_connections = many\n");
    wait_until("status tells of it", || status().contains("\nConfig File: refused "));
    let path = server.config_path().display().to_string();
    let problem =
        format!(": {path}:1:19: max_connections: expected a whole number from 1 to 4294967295, found many\n");
    let told = status();
    assert!(told.starts_with(&plain) && told.ends_with(&problem), "{told}");
    // Only the first of several.
    server.write_config("port = 0\n[limits]\nsignal_step = 0\n");
    wait_until("status tells of both", || status().contains("found 0 (and 1 more: see `config`)\n"));
    let elsewhere = server.data_dir();
    server.write_config(format!("[storage]\npath = {:?}\n", elsewhere.join("new")));
    let data = elsewhere.display();
    // The command line beats the file there.
    wait_until("all is well again", || status() == plain);
    server.write_config("bind = \"::1\"\n");
    wait_until("status names what waits", || {
        status() == format!("{plain}Needs Restart: bind: 127.0.0.1 → ::1\n")
    });
    assert!(row(&manager(&server, "config"), "storage.path").starts_with(&format!("storage.path {data} ")));
    fs::remove_file(server.config_path()).unwrap();
    let missing = format!("{path}: cannot be read: No such file or directory (os error 2)\n");
    wait_until("status tells that it is gone", || status().contains(&missing));
}
