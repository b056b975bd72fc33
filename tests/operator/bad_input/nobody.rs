//! Ports without a server, or with another program: the error names the attempt, and a likely alternative.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::harness::{PASSWORD, Setup, refused, shibudb};

const REFUSED: &str = "Error: Failed to connect to management server: connection refused\n";

#[test]
fn the_management_port_in_place_of_the_port_is_recognised() {
    let server = Setup::new().start();
    let (port, management, above) =
        (server.port(), server.management_port().to_string(), server.management_port() + 1000);
    let home = tempfile::tempdir().unwrap();
    let said = refused(&shibudb(home.path(), ["manager", &management, "status"]).output().unwrap(), 1);
    assert_eq!(
        said,
        format!(
            "{REFUSED}No process listens on 127.0.0.1:{above}, the management port of {management}.\n{management} is \
             the management port of {port}: type `shibudb manager {port}` instead.\n"
        )
    );
    let mut connect = shibudb(home.path(), ["connect", &management]);
    let output = connect.env("SHIBUDB_PASSWORD", PASSWORD).stdin(Stdio::null()).output().unwrap();
    assert_eq!(
        refused(&output, 1),
        format!(
            "Error: {management} is the management port of {port}: type `shibudb connect {port}` instead\n"
        )
    );
}

#[test]
fn the_management_port_is_recognised_though_it_asks_for_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!("[management]\ntoken_file = {token:?}\n");
    let server = Setup::new().config(config).token("secret").start();
    let said =
        shibudb(dir.path(), ["manager", &server.management_port().to_string(), "status"]).output().unwrap();
    let instead = format!("is the management port of {}: type", server.port());
    assert!(refused(&said, 1).contains(&instead));
}

#[test]
fn a_port_with_a_management_port_of_its_own_is_told_of_the_option() {
    // There is a listener on this port, but none 1000 above.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = tempfile::tempdir().unwrap();
    let said = shibudb(home.path(), ["manager", &port.to_string(), "status"]).output().unwrap();
    if port > u16::MAX - 1000 {
        return;
    }
    let said = refused(&said, 1);
    assert!(said.starts_with(REFUSED) && said.contains("give it with --management-port."), "{said}");
    // No connection was used: on a client port it would count as a failed login.
    drop(listener);
    let said = shibudb(home.path(), ["manager", &port.to_string(), "status"]).output().unwrap();
    let said = refused(&said, 1);
    let nobody =
        format!("{REFUSED}No process listens on 127.0.0.1:{}, the management port of {port}.\n", port + 1000);
    assert_eq!(said, format!("{nobody}Check that the server is running and that the port is right.\n"));
}

#[test]
fn another_address_of_this_machine_is_named() {
    let server = Setup::new().start();
    let said = refused(&server.manager("stats --host 127.0.0.7"), 1);
    let tried = format!("No process listens on 127.0.0.7:{}, ", server.management_port());
    assert!(said.starts_with(REFUSED) && said.contains(&tried), "{said}");
    let said = refused(&server.manager("stats --host nowhere.invalid"), 1);
    let tried = format!("\nTried nowhere.invalid:{}.\n", server.management_port());
    assert!(
        said.starts_with("Error: Failed to connect to management server: ") && said.ends_with(&tried),
        "{said}"
    );
}

#[test]
fn a_host_has_a_name() {
    let server = Setup::new().limit(7).start();
    let output = server.manager("status --host localhost");
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "Connection Status:\nCurrent Limit: 7\nActive Connections: 0\n"
    );
}

#[test]
fn what_is_not_shibudb_is_told_apart_by_the_client() {
    for (answer, says) in [
        ("SSH-2.0-OpenSSH_9.9\r\n", "is not shibudb"),
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "speaks HTTP and is not a database server"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let stranger = std::thread::spawn(move || {
            use std::io::Write;
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(answer.as_bytes()).unwrap();
            stream
        });
        let home = tempfile::tempdir().unwrap();
        let mut connect = shibudb(home.path(), ["connect", &port]);
        let output = connect.env("SHIBUDB_PASSWORD", PASSWORD).stdin(Stdio::null()).output().unwrap();
        assert_eq!(refused(&output, 1), format!("Error: the server on 127.0.0.1:{port} {says}\n"));
        stranger.join().unwrap();
    }
}
