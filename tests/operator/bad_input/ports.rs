//! Unusable ports, and servers that already run or do not exist.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};

use crate::harness::sandbox::{Sandbox, enter};
use crate::harness::{Client, PASSWORD};

/// The server that was started first is still running, and serves.
#[track_caller]
fn expect_still_there(sandbox: &Sandbox, limit: u32) {
    let status = sandbox.run("shibudb manager 9090 status");
    assert!(status.contains(&format!("Current Limit: {limit}\n")), "{status}");
    Client::connect((Ipv4Addr::LOCALHOST, 9090).into()).login("admin", PASSWORD);
}

#[test]
fn a_port_in_use() {
    enter(|sandbox| {
        let in_use = |port: u16, what: &str| {
            format!(
                "Error: port {port} is already in use on 127.0.0.1, needed for {what}; is shibudb already running? \
                 Stop the other process, or choose another port\n"
            )
        };
        let _somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, 9090)).unwrap();
        for command in ["start", "run"] {
            assert_eq!(sandbox.fails(&format!("shibudb {command} 9090"), 1), in_use(9090, "clients"));
            assert_eq!(sandbox.fails(&format!("shibudb {command} 8090"), 1), in_use(9090, "management"));
        }
    });
}

#[test]
fn a_port_without_a_management_port() {
    enter(|sandbox| {
        for port in [64536, 65535] {
            let error = format!(
                "Error: port {port}: the management port would be {}, above 65535; choose a port up to 64535, \
                 or set port in [management]\n",
                port + 1000
            );
            assert_eq!(sandbox.fails(&format!("shibudb run {port}"), 2), error);
            assert_eq!(sandbox.fails(&format!("shibudb start {port}"), 2), error);
            let error = format!(
                "Error: the management port for {port} would be {}, above 65535; if the server uses another one, \
                 give it with --management-port\n",
                port + 1000
            );
            assert_eq!(sandbox.fails(&format!("shibudb manager {port} status"), 2), error);
        }
        // With a separate management port it is a port like any other, and so is the last one that needs none.
        fs::write(sandbox.home().join("own.toml"), "[management]\nport = 7000\n").unwrap();
        sandbox.run("shibudb start 65535 --config own.toml");
        assert_eq!(
            sandbox.run("shibudb manager 65535 --management-port 7000 health"),
            "Server is healthy\nService: shibudb\n"
        );
        sandbox.run("shibudb stop 65535");
        sandbox.run("shibudb start 64535 && shibudb manager 64535 health");
    });
}

#[test]
fn the_same_server_started_twice() {
    enter(|sandbox| {
        let pid = sandbox.start(100);
        assert_eq!(
            sandbox.fails("shibudb start 9090 200", 1),
            format!(
                "Error: shibudb is already running on port 9090 (PID {pid}); `shibudb stop 9090` stops it\n"
            )
        );
        expect_still_there(sandbox, 100);
    });
}

#[test]
fn a_server_that_was_killed_can_be_started_again() {
    enter(|sandbox| {
        let pid = sandbox.start(100);
        sandbox.run(&format!("kill -9 {pid}"));
        // It exists until the kernel has released all of its resources.
        crate::harness::wait_until("the killed server is gone", || {
            sandbox.bash("shibudb start 9090 200").output().unwrap().status.success()
        });
        expect_still_there(sandbox, 200);
    });
}

#[test]
fn two_servers_on_the_same_data() {
    enter(|sandbox| {
        sandbox.start(100);
        let error = "Error: data directory /var/lib/shibudb is in use by another process, such as a server on \
            another port; stop it, or use another directory with --data-dir\n";
        assert_eq!(sandbox.fails("shibudb start 9091", 1), error);
        assert_eq!(sandbox.fails("shibudb run 9091", 1), error);
        expect_still_there(sandbox, 100);
    });
}

#[test]
fn stop_without_a_server() {
    enter(|sandbox| {
        let nobody = "Error: no server started with `shibudb start 9090` is running; to stop a systemd service, use \
            `systemctl stop shibudb`\n";
        let nobody_at_all = "Error: no server started with `shibudb start` is running\n";
        assert_eq!(sandbox.fails("shibudb stop 9090", 1), nobody);
        assert_eq!(sandbox.fails("shibudb stop", 1), nobody_at_all);

        // A number that now belongs to an unrelated process.
        let mut stranger = sandbox.program("/bin/sleep".as_ref()).arg("1000").spawn().unwrap();
        fs::create_dir_all("/run/shibudb").unwrap();
        fs::write("/run/shibudb/9090.pid", format!("{}\n", stranger.id())).unwrap();
        assert_eq!(sandbox.fails("shibudb stop 9090", 1), nobody);
        assert_eq!(sandbox.fails("shibudb stop", 1), nobody_at_all);
        assert!(stranger.try_wait().unwrap().is_none(), "the stranger was stopped");
        stranger.kill().unwrap();
        stranger.wait().unwrap();

        let pid = sandbox.start(100);
        assert_eq!(
            sandbox.run("shibudb stop"),
            format!("Stopping shibudb on port 9090 (PID {pid}); open connections may finish\nStopped\n")
        );
        assert_eq!(sandbox.fails("shibudb stop 9090", 1), nobody);
    });
}

#[test]
fn stop_does_not_guess_which_server() {
    enter(|sandbox| {
        sandbox.start(100);
        sandbox.run("shibudb start 9091 --data-dir other");
        let error = "Error: several servers are running; give one of the ports 9090, 9091\n";
        assert_eq!(sandbox.fails("shibudb stop", 1), error);
        sandbox.run("shibudb stop 9091");
        sandbox.run("shibudb stop");
    });
}
