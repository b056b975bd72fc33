//! Servers that hang: commands report it in time, and the server can be ended.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::json;

use crate::harness::sandbox::enter;
use crate::harness::{Client, Log, PASSWORD, Setup, Signal, refused, shibudb};

#[test]
fn a_server_that_hangs_is_told_in_time() {
    let server = Setup::new().limit(100).start();
    server.signal(Signal::STOP);
    let silent = format!(
        "Error: 127.0.0.1:{} accepted the connection but did not answer within 300ms; use --timeout to wait longer",
        server.management_port()
    );
    for words in ["health", "status", "stats", "history", "connections", "config", "watch"] {
        let said = refused(&server.manager(&format!("{words} --timeout 0.3")), 1);
        assert_eq!(said, format!("{silent}\n"), "{words}");
    }
    // The server executes the request when it continues.
    for words in ["limit 50", "increase", "reload", "reset", "kill 1"] {
        let said = refused(&server.manager(&format!("{words} --timeout 0.3")), 1);
        let unknown = ". The change may still apply; check `history`\n";
        assert_eq!(said, format!("{silent}{unknown}"), "{words}");
    }
    server.signal(Signal::CONT);
    let home = tempfile::tempdir().unwrap();
    let help = shibudb(home.path(), ["manager", "stats", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("[default: 5]"), "{help}");
}

#[test]
fn an_answer_that_trickles_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let trickle = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        assert_ne!(stream.read(&mut [0; 1024]).unwrap(), 0);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").unwrap();
        // Until the buffers are full.
        while stream.write_all(b" ").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let home = tempfile::tempdir().unwrap();
    let words = ["manager", "--management-port", &port, "--timeout", "0.3", "stats"];
    let said = refused(&shibudb(home.path(), words).output().unwrap(), 1);
    assert!(said.contains("did not answer within 300ms"), "{said}");
    trickle.join().unwrap();
}

#[test]
fn a_client_is_told_of_a_server_that_hangs() {
    let server = Setup::new().start();
    server.signal(Signal::STOP);
    let home = tempfile::tempdir().unwrap();
    let port = server.port().to_string();
    let mut command = shibudb(home.path(), ["connect", &port, "--timeout", "0.3"]);
    let output = command.env("SHIBUDB_PASSWORD", PASSWORD).stdin(Stdio::null()).output().unwrap();
    let error =
        format!("Error: no answer from 127.0.0.1:{port} within 300ms; use --timeout to wait longer\n");
    assert_eq!(refused(&output, 1), error);
    server.signal(Signal::CONT);
}

#[test]
fn stop_gives_up_on_a_server_that_hangs_and_force_kills_it() {
    enter(|sandbox| {
        let pid = sandbox.start(100);
        sandbox.run(&format!("kill -STOP {pid}"));
        let output = sandbox.bash("shibudb stop 9090 --timeout 0.7").output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        for part in [
            &format!("Error: the server on port 9090 (PID {pid}) is still stopping after "),
            &format!("the process is suspended (by SIGSTOP or a terminal); `kill -CONT {pid}` resumes it"),
            "`shibudb stop 9090 --force` to kill it",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(
            sandbox.run("shibudb stop --force"),
            format!("Killing shibudb on port 9090 (PID {pid})\nStopped\n")
        );
        sandbox.fails("shibudb stop 9090 --force", 1);
        // Stored data is present, and the next start works.
        let next = sandbox.start(100);
        assert_ne!(next, pid);
        sandbox.run("shibudb stop");
    });
}

#[test]
fn stop_says_what_it_waits_for_and_for_how_long() {
    enter(|sandbox| {
        let pid = sandbox.start(100);
        let mut client = Client::connect(([127, 0, 0, 1], 9090).into());
        client.login("admin", PASSWORD);
        client.expect_ok(
            &json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"}),
            "SPACE_CREATED",
        );
        client
            .expect_ok(&json!({"type": "PUT", "space": "s", "key": "k", "value": "x".repeat(500_000)}), "OK");
        // The client does not read its answers: a connection without pending ones would be closed at once.
        client.send("{\"type\":\"GET\",\"space\":\"s\",\"key\":\"k\"}\n".repeat(60));
        let mut stop = sandbox.bash("exec shibudb stop 9090").stderr(Stdio::piped()).spawn().unwrap();
        let said = Log::of(stop.stderr.take().unwrap());
        said.wait_for(&format!(
            "waiting for the server on port 9090 (PID {pid}) to exit: 1 connection is still open (drain_timeout is \
             30 s); a second `shibudb stop` stops it at once, `shibudb stop --force` kills it"
        ));
        // The second one ends both.
        sandbox.run("shibudb stop 9090");
        assert!(stop.wait().unwrap().success());
        drop(client);
    });
}
