//! Colours of the command line: on a terminal only, never in the input of a script.

use crate::harness::{MAX_WAIT, Server, Setup, shibudb, wait_until};
use anstream::adapter::strip_str;
use rexpect::session::{Options, spawn_with_options};

const BOLD: &str = "\u{1b}[1m";
const AMBER: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";

/// What `shibudb manager <port> <words>` shows on a terminal, on standard output and standard error.
fn shown_with(port: u16, words: &str, environment: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let port = port.to_string();
    let mut command = shibudb(home.path(), ["manager", &port]);
    command.args(words.split_whitespace()).env("TERM", "xterm").envs(environment.iter().copied());
    let max_wait = u64::try_from(MAX_WAIT.as_millis()).unwrap();
    let mut terminal = spawn_with_options(command, Options::new().timeout_ms(Some(max_wait))).unwrap();
    // It decodes each byte as one character.
    let bytes = terminal.exp_eof().unwrap().chars().map(|byte| u8::try_from(byte).unwrap()).collect();
    String::from_utf8(bytes).unwrap().replace("\r\n", "\n")
}

fn shown(server: &Server, words: &str) -> String {
    shown_with(server.port(), words, &[])
}

/// The same through pipes.
fn piped_with(server: &Server, words: &str, environment: &[(&str, &str)]) -> (String, String) {
    let home = tempfile::tempdir().unwrap();
    let port = server.port().to_string();
    let mut command = shibudb(home.path(), ["manager", &port]);
    command.args(words.split_whitespace()).env("TERM", "xterm").envs(environment.iter().copied());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn usage_is_amber_from_the_configured_percentage_on_and_red_when_full() {
    let server = Setup::new().limit(10).config("[limits]\nwarn_percent = 50\n").start();
    let heading = format!("{BOLD}Connection Statistics:{PLAIN}\n");
    let mut clients = Vec::new();
    for (active, usage) in [
        (4, "Usage Percentage: 40.0%\n".to_owned()),
        (5, format!("{AMBER}Usage Percentage: 50.0%{PLAIN}\n")),
        (10, format!("{RED}Usage Percentage: 100.0%{PLAIN}\n")),
    ] {
        clients.resize_with(active, || server.connect());
        server.wait_until_active(active as u64);
        let free = 10 - active;
        assert_eq!(
            shown(&server, "stats"),
            format!(
                "{heading}Active Connections: {active}\nMax Connections: 10\n{usage}Available Slots: {free}\n"
            )
        );
    }
    let status = shown(&server, "status");
    assert!(status.contains(&format!("\n{RED}Active Connections: 10{PLAIN}\n")), "{status}");
}

#[test]
fn without_a_configured_percentage_it_is_80() {
    let server = Setup::new().limit(10).start();
    let mut clients = Vec::new();
    for (active, line) in
        [(7, "Active Connections: 7\n".to_owned()), (8, format!("{AMBER}Active Connections: 8{PLAIN}\n"))]
    {
        clients.resize_with(active, || server.connect());
        server.wait_until_active(active as u64);
        let heading = format!("{BOLD}Connection Status:{PLAIN}\n");
        assert_eq!(shown(&server, "status"), format!("{heading}Current Limit: 10\n{line}"));
    }
}

#[test]
fn refusals_overrides_and_what_waits_for_a_restart_stand_out() {
    let server = Setup::new().limit(150).start();
    let _client = server.admin();
    server.set_limit(200);
    assert_eq!(server.put("/limit", r#"{"limit":0}"#).status, 400);
    server.write_config("[storage]\ndurability = \"1s\"\n");
    server.wait_for_log("storage.durability");

    let status = shown(&server, "status");
    let line = status.lines().nth(3).unwrap();
    assert!(line.starts_with(&format!("{AMBER}Configured Limit: 150 (override: 200")), "{line}");
    assert!(line.ends_with(&format!("){PLAIN}")), "{line}");

    let history = shown(&server, "history");
    let lines: Vec<_> = history.lines().collect();
    assert!(lines[0].starts_with(&format!("{BOLD}Time ")), "{history}");
    assert!(lines[0].ends_with(&format!(" Outcome{PLAIN}")), "{history}");
    assert!(lines[1].starts_with(RED) && lines[1].ends_with(&format!("positive{PLAIN}")), "{history}");
    assert!(lines[2].ends_with("applied") && !lines[2].contains('\u{1b}'), "{history}");

    let mut config = String::new();
    wait_until("the edit is known", || {
        config = shown(&server, "config");
        config.lines().any(|line| line.starts_with(&format!("{AMBER}storage.durability ")))
    });
    assert_eq!(config.lines().filter(|line| line.contains(AMBER)).count(), 2, "{config}");
    assert!(shown(&server, "connections").starts_with(&format!("{BOLD}Id ")));
    // Only the colours differ.
    for words in ["status", "history", "config", "limit 200"] {
        let piped = piped_with(&server, words, &[]).0;
        assert!(!piped.contains('\u{1b}'), "{piped}");
        assert_eq!(strip_str(&shown(&server, words)).to_string(), piped, "{words}");
    }
}

#[test]
fn an_error_begins_in_red() {
    let mut server = Setup::new().start();
    let said = shown(&server, "limit 0");
    let error = "connection limit must be positive";
    assert_eq!(said, format!("{BOLD}{RED}Error:{PLAIN} {error}\n"));
    assert_eq!(piped_with(&server, "limit 0", &[]), (String::new(), format!("Error: {error}\n")));
    assert!(shown(&server, "limit much").starts_with(&format!("{BOLD}{RED}Error:{PLAIN} invalid value")));
    server.kill();
    assert!(shown(&server, "watch").starts_with(&format!("{BOLD}{RED}Error:{PLAIN} Failed to connect")));
}

#[test]
fn the_environment_has_the_last_word() {
    let server = Setup::new().start();
    let plain = piped_with(&server, "stats", &[]).0;
    for no in [("NO_COLOR", "1"), ("CLICOLOR", "0"), ("TERM", "dumb")] {
        assert_eq!(shown_with(server.port(), "stats", &[no]), plain, "{no:?}");
        let error = "Error: connection limit must be positive\n";
        assert_eq!(shown_with(server.port(), "limit 0", &[no]), error, "{no:?}");
    }
    assert!(piped_with(&server, "stats", &[("CLICOLOR_FORCE", "1")]).0.starts_with(BOLD));
    assert_eq!(piped_with(&server, "stats", &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).0, plain);
}

#[test]
fn json_has_no_colour_whatever_is_asked_for() {
    let server = Setup::new().start();
    assert_eq!(server.put("/limit", r#"{"limit":0}"#).status, 400);
    for words in ["stats", "status", "history", "config", "connections"] {
        let words = format!("{words} --json");
        let plain = piped_with(&server, &words, &[]).0;
        assert!(plain.starts_with('{') && !plain.contains('\u{1b}'), "{plain}");
        if words != "connections --json" {
            assert_eq!(shown(&server, &words), plain);
            assert_eq!(piped_with(&server, &words, &[("CLICOLOR_FORCE", "1")]).0, plain);
        }
    }
}
