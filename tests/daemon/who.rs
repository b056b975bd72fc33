//! The history names the user of each change of the limit from this machine: by socket, port and signal.

use std::process::Child;

use serde_json::Value;

use crate::harness::sandbox::{self, Sandbox};
use crate::harness::{http, wait_until};

/// A server as in a unit, with a runtime directory.
fn serve(sandbox: &Sandbox, arguments: &str, runtime_directory: &str) -> Child {
    let text = format!("export RUNTIME_DIRECTORY={runtime_directory}; exec shibudb run {arguments} 2>>log");
    sandbox.bash(&text).spawn().unwrap()
}

fn last_change(management_port: u16) -> Value {
    http::request(management_port, "GET", "/history?limit=1", None).json()["changes"][0].clone()
}

#[test]
fn whoever_is_on_this_machine_has_a_name() {
    sandbox::enter(|sandbox| {
        sandbox.run("mkdir -p /run/shibudb/service && echo 'max_connections = 50' >shibudb.toml");
        // Another server, whose socket is found first.
        sandbox.run("mkdir -p /run/shibudb/instances/another");
        let mut another = serve(sandbox, "9200 7 --data-dir another", "/run/shibudb/instances/another");
        let mut child = serve(sandbox, "9090 --config shibudb.toml --data-dir data", "/run/shibudb/service");
        // A port answers before the socket is there.
        let ready = || sandbox.run("grep -c ready: log 2>/dev/null || true");
        wait_until("both are ready", || ready() == "2\n");
        assert_eq!(sandbox.run("stat -c %a /run/shibudb/service/management.sock"), "660\n");

        // The socket is used if it exists.
        sandbox.run("shibudb manager 9090 limit 70");
        let change = last_change(10090);
        let actor = change["actor"].as_str().unwrap();
        assert!(actor.starts_with("pid ") && actor.ends_with(" uid 0 (root)"), "{actor}");
        assert_eq!(change["door"], "cli");
        let logged = || sandbox.run("grep 'changed from 50 to 70' log || true");
        wait_until("the log has it", || !logged().is_empty());
        let log = logged();
        assert!(log.trim_end().ends_with(&format!("by {actor} through cli")), "{log}");
        assert_eq!(http::request(10200, "GET", "/limit", None).json()["current_limit"], 7);
        sandbox.run("shibudb manager 9200 limit 8");
        assert!(
            last_change(10200)["actor"].as_str().unwrap().starts_with("pid "),
            "an instance has one, too"
        );

        // The user of a client on the port is looked up.
        sandbox.run(
            "curl -sf -X PUT -H 'Content-Type: application/json' -d '{\"limit\":71}' localhost:10090/limit",
        );
        let actor = last_change(10090)["actor"].as_str().unwrap().to_owned();
        assert!(actor.starts_with("127.0.0.1:") && actor.ends_with(" uid 0 (root)"), "{actor}");

        // A limit that may become possible fails no reload, one above the ceiling does.
        sandbox.run("echo 'max_connections = 60' >shibudb.toml && shibudb manager 9090 reload");
        let refused = "echo 'max_connections = 4000000' >shibudb.toml; ! shibudb manager 9090 reload 2>&1";
        assert!(sandbox.run(refused).contains("Error: max_connections = 4000000 was refused: "));

        sandbox.run(&format!("kill -USR1 {}", child.id()));
        wait_until("the signal is applied", || last_change(10090)["door"] == "signal");
        let actor = last_change(10090)["actor"].as_str().unwrap().to_owned();
        assert!(actor.starts_with("pid ") && actor.ends_with(" uid 0 (root)"), "{actor}");

        // Without a socket the port is used, with the same output.
        child.kill().unwrap();
        child.wait().unwrap();
        let error = sandbox.run("! shibudb manager 9090 status 2>&1");
        assert!(
            error.starts_with("Error: Failed to connect to management server: connection refused"),
            "{error}"
        );
        another.kill().unwrap();
        another.wait().unwrap();
    });
}

/// An unusable socket that is not configured does not prevent the start.
#[test]
fn a_socket_that_cannot_be_had_stops_no_start() {
    sandbox::enter(|sandbox| {
        sandbox.run("mkdir -p /run/shibudb/service/management.sock");
        let mut child = serve(sandbox, "9090 --data-dir data", "/run/shibudb/service");
        wait_until("it is ready", || sandbox.run("grep -c ready: log 2>/dev/null || true") == "1\n");
        let log = sandbox.run("grep 'cannot create the management socket' log");
        assert!(log.contains("/run/shibudb/service/management.sock"), "{log}");
        sandbox.run("shibudb manager 9090 limit 70");
        child.kill().unwrap();
        child.wait().unwrap();
    });
}
