//! The output of `manager history`, `config` and `reload` about edits.

use std::fs;

use super::witness::{config, manager};
use crate::harness::{Setup, Signal, wait_until};

#[test]
fn the_history_tells_what_came_through_which_door_and_outlives_the_process() {
    let mut server = Setup::new().config("max_connections = 500\n").start();
    server.write_config("max_connections = 600\n");
    server.wait_until_limit(600);
    manager(&server, "limit 650");
    server.signal(Signal::USR1);
    server.wait_until_limit(750);
    assert_eq!(server.put("/limit", r#"{"limit":4294967296}"#).status, 409);
    let file = server.config_path().display().to_string();
    server.kill();
    // A record torn by a power failure.
    let path = server.data_dir().join("limit-history.jsonl");
    fs::write(&path, fs::read_to_string(&path).unwrap() + r#"{"time":"2026-"#).unwrap();
    server.start_again();

    let history = manager(&server, "history");
    let lines: Vec<_> = history.lines().collect();
    let columns = ["Time", "Door", "Who", "Limit", "Active", "Outcome"];
    assert_eq!(lines[0].split_whitespace().collect::<Vec<_>>(), columns);
    let expected = [
        ("startup", "stored override", "- → 750", "applied"),
        ("http", "127.0.0.1:", "750 → 4294967296", "refused: cannot set limit to 4294967296: "),
        ("signal", "pid ", "650 → 750", "applied"),
        ("cli", "127.0.0.1:", "600 → 650", "applied"),
        ("config", &file, "500 → 600", "applied"),
        ("startup", &file, "- → 500", "applied"),
    ];
    assert_eq!(lines.len(), expected.len() + 1, "{history}");
    for (line, (door, who, limit, outcome)) in lines[1..].iter().zip(expected) {
        for part in [door, who, limit, outcome] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }
    assert_eq!(manager(&server, "history 2").lines().count(), 3);
}

#[test]
fn reload_and_config_tell_what_changed_what_waits_and_what_failed() {
    let server = Setup::new().config("max_connections = 500\n").start();
    assert!(manager(&server, "config").contains("Last Reload: never\n"));

    let edited = "max_connections = 600\n[limits]\nsignal_step = 9\n[storage]\ndurability = \"1s\"\n";
    // The server may notice the edit before the reload; then nothing is left to change.
    server.write_config(edited);
    let reload = manager(&server, "reload");
    assert!(reload.starts_with("Configuration reloaded: "), "{reload}");
    assert!(reload.contains("Needs Restart: storage.durability: always → 1s\n"), "{reload}");
    let shown = manager(&server, "config");
    let line = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(&format!("{key} "))).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("max_connections"), "max_connections 600 1000 file live -");
    assert_eq!(line("limits.signal_step"), "limits.signal_step 9 100 file live -");
    assert_eq!(line("storage.durability"), "storage.durability always always default restart 1s");
    assert!(shown.contains(&format!("Config File: {}\n", server.config_path().display())), "{shown}");

    server.write_config("max_conections = 7\n");
    wait_until("the mistake is found", || config(&server)["last_reload"]["outcome"] == "failed");
    let output = server.manager("reload");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("Error: ") && error.contains("shibudb.toml:1:1: "), "{error}");
    assert!(error.contains("max_connections"), "it names the nearest key: {error}");
    assert!(manager(&server, "config").contains(" through cli: failed: "));
}
