//! `shibudb manager` against a running server: what is printed, what is an error.

use std::io;
use std::sync::Arc;

use clap::Parser;
use shibudb::cli::colours::Colours;
use shibudb::cli::manager::{ManagerArgs, ManagerError, run};
use shibudb::control::{Actor, Reread};
use shibudb::management::ReloadRefusal;
use shibudb::management::wire::{
    ChangedSetting, LastReload, LoadedConfig, RefusedSetting, ReloadOutcome, ReloadReport, Setting, Source,
    TroubledFile,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::server::Server;

#[derive(Debug, Parser)]
struct Manager {
    #[command(flatten)]
    args: ManagerArgs,
}

/// The output of a command, or its error message with its exit status.
async fn manager(port: u16, words: &str) -> Result<String, (u8, String)> {
    manager_with(&format!("9090 {words} --management-port={port}")).await
}

/// The same for the whole command line.
pub(crate) async fn manager_with(words: &str) -> Result<String, (u8, String)> {
    let words = ["manager"].into_iter().chain(words.split_whitespace());
    let Manager { args } = Manager::try_parse_from(words).unwrap();
    let mut out = Vec::new();
    let result = run(args, Colours::OFF, &mut out).await;
    if result.is_err() {
        assert!(out.is_empty(), "an error prints nothing");
    }
    result.map(|()| String::from_utf8(out).unwrap()).map_err(|error| (error.exit_status(), error.to_string()))
}

impl Server {
    async fn manager(&self, words: &str) -> Result<String, (u8, String)> {
        manager(self.address.port(), words).await
    }
}

#[tokio::test]
async fn every_command_prints_its_lines() {
    let server = Server::start().await;
    let held = server.occupy(45);
    for (words, printed) in [
        ("status", "Connection Status:\nCurrent Limit: 1000\nActive Connections: 45\n"),
        (
            "stats",
            "Connection Statistics:\nActive Connections: 45\nMax Connections: 1000\n\
             Usage Percentage: 4.5%\nAvailable Slots: 955\n",
        ),
        ("health", "Server is healthy\nService: shibudb\n"),
        ("limit 2000", "Connection limit updated to 2000\n"),
        ("increase 500", "Connection limit increased from 2000 to 2500\n"),
        ("decrease 200", "Connection limit decreased from 2500 to 2300\n"),
        ("increase", "Connection limit increased from 2300 to 2400\n"),
        ("decrease", "Connection limit decreased from 2400 to 2300\n"),
        ("reset", "Connection limit updated to 1000\n"),
    ] {
        assert_eq!(server.manager(words).await.as_deref(), Ok(printed), "{words}");
    }
    drop(held);
    let history = server.manager("history 2").await.unwrap();
    let lines: Vec<&str> = history.lines().collect();
    assert_eq!(lines.len(), 3, "{history}");
    for (line, words) in lines.iter().zip([
        ["Time", "Door", "Who", "Limit", "Active", "Outcome"],
        ["20", "cli", "127.0.0.1:", "2300 → 1000", "45", "applied"],
        ["20", "cli", "127.0.0.1:", "2400 → 2300", "45", "applied"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

#[tokio::test]
async fn json_is_the_answer_byte_for_byte() {
    let server = Server::start().await;
    for (words, path) in [
        ("status --json", "/limit"),
        ("--json stats", "/stats"),
        ("health --json", "/health"),
        ("history 3 --json", "/history?limit=3"),
        ("config --json", "/config"),
    ] {
        let answer = server.get(path).await.body;
        assert_eq!(server.manager(words).await, Ok(answer + "\n"));
    }
    assert_eq!(
        server.manager("limit 2000 --json").await.unwrap(),
        "{\"status\":\"success\",\"new_limit\":2000,\"message\":\"Connection limit updated to 2000\"}\n"
    );
    assert_eq!(server.manager("limit 0 --json").await, Err((1, "connection limit must be positive".into())));
}

#[tokio::test]
async fn a_refusal_is_told_in_the_servers_words() {
    let server = Server::start().await;
    let _held = server.occupy(750);
    for (words, error) in [
        ("limit 500", "cannot set limit to 500 when 750 connections are active"),
        ("limit 0", "connection limit must be positive"),
        ("decrease 0", "amount must be a positive whole number, got 0"),
        (
            "limit 99999999999999999999",
            "limit must be a whole number from 1 to 4294967296, got 99999999999999999999",
        ),
    ] {
        assert_eq!(server.manager(words).await, Err((1, error.into())), "{words}");
    }
    assert!(
        server
            .manager("history")
            .await
            .unwrap()
            .contains("1000 → 500     750  refused: cannot set limit to 500 when 750 connections are active")
    );
}

#[tokio::test]
async fn status_and_config_tell_why_the_limit_is_not_the_configured_one() {
    let server = Server::start().await;
    server.manager("limit 1500").await.unwrap();
    let actor = server.control.limit_state().override_.unwrap().actor;
    let line = format!("Configured Limit: 1000 (override: 1500 set through cli by {actor})\n");
    let status = server.manager("status").await.unwrap();
    assert_eq!(status, format!("Connection Status:\nCurrent Limit: 1500\nActive Connections: 0\n{line}"));
    assert!(server.manager("config").await.unwrap().ends_with(&line));

    let _held = server.occupy(750);
    server.control.configure(500.try_into().ok(), Reread::Found, Actor::Default).await.unwrap();
    let status = server.manager("status").await.unwrap();
    let refused = "\nConfigured Limit: 500 (refused: 750 connections are active)\n";
    let waiting =
        "Waiting: 500 is applied once at most 500 connections are active, unless the limit is set first\n";
    assert!(status.ends_with(&format!("{refused}{waiting}")), "{status}");
    // A limit set by the operator cancels the waiting edit.
    server.manager("limit 1600").await.unwrap();
    let status = server.manager("status").await.unwrap();
    assert!(status.ends_with(refused), "{status}");
}

#[tokio::test]
async fn status_tells_of_a_configured_limit_beyond_the_ceiling() {
    let server = Server::start_with(50_000).await;
    assert_eq!(
        server.manager("status").await.unwrap(),
        "Connection Status:\nCurrent Limit: 19900\nActive Connections: 0\n\
         Configured Limit: 50000 (this process can hold at most 19900 connections)\n"
    );
}

#[tokio::test]
async fn config_is_a_table_and_the_last_reload() {
    let server = Server::start().await;
    let none = "\nConfig File: none\nLast Reload: never\n";
    assert!(server.manager("config").await.unwrap().ends_with(none));
    server.config.send_replace(Arc::new(LoadedConfig {
        awaited_file: None,
        file: Some("/x.toml".into()),
        settings: vec![Setting {
            key: "bind".into(),
            value: "127.0.0.1".into(),
            default: "127.0.0.1".into(),
            source: Source::File,
            live: false,
            effect: "restart".into(),
            pending: Some("::1".into()),
        }],
        last_reload: Some(LastReload {
            time: jiff::Timestamp::UNIX_EPOCH,
            door: "config".into(),
            outcome: ReloadOutcome::Failed,
            error: Some("line 3".into()),
        }),
        troubled_files: vec![TroubledFile {
            file: "/x.toml".into(),
            since: jiff::Timestamp::UNIX_EPOCH,
            problem: "its file system does not respond".into(),
        }],
        log_file: Some("/var/lib/shibudb/shibudb.log".into()),
    }));
    let text = server.manager("config").await.unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Setting  Value      Default    Source  Edits    Pending");
    assert_eq!(lines[1], "bind     127.0.0.1  127.0.0.1  file    restart  ::1");
    assert_eq!(lines[3], "Config File: /x.toml");
    assert!(lines[4].starts_with("Last Reload: 19") && lines[4].ends_with(" through config: failed: line 3"));
    assert!(lines[5].starts_with("Not Readable: /x.toml since 19"), "{text}");
    assert!(lines[5].ends_with(": its file system does not respond"), "{text}");
    let log = Some(&"Log: /var/lib/shibudb/shibudb.log");
    assert_eq!(lines.last(), log, "{text}");
    assert_eq!(server.manager("status").await.unwrap().lines().last(), log.copied());
}

#[tokio::test]
async fn reload_tells_what_changed_and_what_waits() {
    let mut server = Server::start().await;
    let port = server.address.port();
    let daemon = async {
        let request = server.reloads.recv().await.unwrap();
        let setting = |key: &str| ChangedSetting { key: key.into(), old: 1.into(), new: "2s".into() };
        let refused = RefusedSetting {
            key: "max_connections".into(),
            value: 5.into(),
            reason: "7 are active".into(),
            waits: true,
        };
        let report =
            ReloadReport::new(None, vec![setting("a"), setting("b")], vec![setting("c")], vec![refused]);
        request.reply.send(Ok(report)).unwrap();
    };
    let (printed, ()) = tokio::join!(manager(port, "reload"), daemon);
    assert_eq!(
        printed.unwrap(),
        "Configuration reloaded: 2 settings changed, 1 waiting for a restart, 1 refused\n\
         Changed: a: 1 → 2s\nChanged: b: 1 → 2s\nNeeds Restart: c: 1 → 2s\n\
         Refused: max_connections = 5: 7 are active; applied as soon as possible\n"
    );
    let daemon = async {
        let request = server.reloads.recv().await.unwrap();
        request.reply.send(Err(ReloadRefusal::Invalid("line 3: no".into()))).unwrap();
    };
    let (printed, ()) = tokio::join!(manager(port, "reload --json"), daemon);
    assert_eq!(printed, Err((1, "line 3: no".into())));
}

#[tokio::test]
async fn nobody_there_is_connection_refused_to_the_letter() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for words in ["status", "limit 5", "health --json"] {
        let error = format!(
            "Failed to connect to management server: connection refused\nNo process listens on 127.0.0.1:{port}."
        );
        assert_eq!(manager(port, words).await, Err((1, error)));
    }
}

#[tokio::test]
async fn somebody_else_there_is_told_apart() {
    for (talk, error) in [
        (&b"-ERR unknown command 'GET'\r\n"[..], None),
        (b"{\"status\":\"ERROR\",\"message\":\"authentication failed\"}\n", None),
        (b"\x00\x01\x02\xff\xfe", None),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 39\r\n\r\n{\"status\":\"healthy\",\"service\":\"other\"}\n\n", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n\xff\xfe\xfd", None),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", None),
        (b"", Some("Failed to connect to management server: connection closed without an answer")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", Some("Failed to connect to management server: unexpected end of file")),
    ] {
        let error: Option<&str> = error;
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let other = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut request).await.unwrap();
            }
            stream.write_all(talk).await.unwrap();
        };
        let (printed, ()) = tokio::join!(manager(port, "health"), other);
        let stranger = format!("the server on 127.0.0.1:{port} is not shibudb's management API");
        assert_eq!(
            printed,
            Err((1, error.map_or(stranger, |error| format!("{error}\nTried 127.0.0.1:{port}.")))),
            "{}",
            String::from_utf8_lossy(talk)
        );
    }
}

#[tokio::test]
async fn a_port_too_high_has_no_management_port() {
    let parse = |words: &str| Manager::try_parse_from(words.split(' ')).map(|manager| manager.args);
    let error = run(parse("manager 64536 status").unwrap(), Colours::OFF, &mut Vec::new()).await.unwrap_err();
    assert_eq!(error.exit_status(), 2);
    assert!(error.to_string().starts_with("the management port for 64536 would be 65536, above 65535"));

    let server = Server::start().await;
    let words = format!("manager 64536 --management-port {} health", server.address.port());
    run(parse(&words).unwrap(), Colours::OFF, &mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn without_port_and_socket_there_is_nobody_to_ask() {
    let error = "give the port of the server, or its management socket with --socket";
    assert_eq!(manager_with("status").await, Err((2, error.into())));
}

#[test]
fn wrong_usage_is_told_apart_from_a_refusal() {
    for words in [
        "manager",
        "manager 9090",
        "manager 0 status",
        "manager 65536 status",
        "manager 9090 frobnicate",
        "manager 9090 limit",
        "manager 9090 limit abc",
        "manager 9090 limit 1.5",
        "manager 9090 limit +100",
        "manager 9090 limit -5",
        "manager 9090 increase ten",
        "manager 9090 history 0",
        "manager 9090 history 1001",
    ] {
        let error = Manager::try_parse_from(words.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{words}");
    }
}

/// A standard output whose reader has closed it.
struct Closed(io::ErrorKind);

impl io::Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(self.0.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_went_away_is_no_error_and_a_full_disk_is() {
    let server = Server::start().await;
    let words = format!("manager 9090 --management-port {} stats", server.address.port());
    let Manager { args } = Manager::try_parse_from(words.split(' ')).unwrap();
    run(args.clone(), Colours::OFF, &mut Closed(io::ErrorKind::BrokenPipe)).await.unwrap();
    let error = run(args, Colours::OFF, &mut Closed(io::ErrorKind::StorageFull)).await.unwrap_err();
    assert!(matches!(error, ManagerError::Output(_)));
}
