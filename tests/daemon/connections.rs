//! Listing and ending connections, through the management API and the command line.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Client, PASSWORD, Setup, Signal, refused, wait_until};
use serde_json::{Value, json};
use shibudb::store::{Durability, Store};
use socket2::{Domain, Socket, Type};

const MANY: usize = 10_000;

fn stdout(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_client_is_seen_with_what_it_does_and_ended_by_its_number() {
    let server = Setup::new().start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    admin.expect_ok(&json!({"type": "USE_SPACE", "space": "s"}), "SPACE_CHANGED");
    let silent = server.connect();
    server.wait_until_active(2);

    let list = server.get("/connections").json();
    assert_eq!(list["total"], 2);
    assert_eq!(list["by_user"][0]["connections"], 1);
    assert_eq!(list["by_peer"], json!([{"peer": "127.0.0.1", "connections": 2}]));
    let first = &list["connections"][0];
    let fields: Vec<_> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let documented =
        ["id", "peer", "user", "space", "connected_at", "idle_seconds", "requests", "bytes_in", "bytes_out"];
    assert_eq!(fields.len(), documented.len());
    assert!(documented.iter().all(|field| fields.contains(field)), "{fields:?}");
    assert_eq!(
        (&first["user"], &first["space"], &first["requests"]),
        (&json!("admin"), &json!("s"), &json!(3))
    );
    let second = &list["connections"][1];
    assert_eq!((&second["user"], &second["space"]), (&Value::Null, &Value::Null));

    let only = server.get("/connections?user=admin&sort=idle&limit=5").json();
    assert_eq!((only["total"].as_u64(), only["connections"].as_array().unwrap().len()), (Some(1), 1));
    assert_eq!(server.get("/connections?idle_over=3600").json()["total"], 0);
    assert_eq!(server.get("/connections?sort=name").status, 400);

    let table = stdout(&server.manager("connections --user admin"));
    assert!(table.contains("admin") && table.contains("1 connection\n"), "{table}");
    assert!(table.contains("By address: 127.0.0.1 1"), "{table}");
    let listed: Value = serde_json::from_str(&stdout(&server.manager("connections --json"))).unwrap();
    assert_eq!(listed["total"], 2);

    let id = first["id"].as_u64().unwrap();
    assert_eq!(stdout(&server.manager(&format!("kill {id}"))), format!("Connection {id} is closed\n"));
    admin.expect_end();
    server.wait_until_active(1);
    let line = server.wait_for_log(&format!("connection {id} is closed"));
    assert!(line.contains(" by 127.0.0.1:") && line.contains(" through cli"), "{line}");
    let error = refused(&server.manager(&format!("kill {id}")), 1);
    assert_eq!(error, format!("Error: there is no connection {id}\n"));
    drop(silent);
}

#[test]
fn the_addresses_that_are_turned_away_most_often_are_shown_and_logged() {
    let server = Setup::new().limit(1).start();
    let _inside = server.admin();
    assert_eq!(server.get("/rejections").json(), json!({"rejected": 0, "peers": []}));
    for (address, times) in [([127, 0, 0, 2], 3), ([127, 0, 0, 3], 1)] {
        for _ in 0..times {
            let mut client = connect_from(address.into(), server.address());
            assert!(client.line().unwrap().contains("maximum capacity"));
        }
    }
    let list = server.get("/rejections").json();
    assert_eq!(list["rejected"], 4);
    let shown: Vec<_> =
        list["peers"].as_array().unwrap().iter().map(|peer| (&peer["peer"], &peer["rejections"])).collect();
    assert_eq!(shown, [(&json!("127.0.0.2"), &json!(3)), (&json!("127.0.0.3"), &json!(1))]);
    let table = String::from_utf8(server.manager("rejections").stdout).unwrap();
    assert!(table.contains("127.0.0.2") && table.contains("4 clients were rejected"), "{table}");
    server.wait_for_log("rejecting clients, the first from 127.0.0.2");
    let summary = server.wait_for_log("more clients at the connection limit");
    assert!(summary.contains("most often from 127.0.0.2 ("), "{summary}");
}

#[test]
fn an_address_of_ipv6_may_be_in_brackets() {
    let server = Setup::new().start();
    let output = server.manager("connections --peer [::1]");
    assert!(output.status.success(), "{output:?}");
    let error = refused(&server.manager("connections --peer localhost"), 1);
    assert!(error.starts_with("Error: peer must be an IP address"), "{error}");
}

fn connect_from(address: Ipv4Addr, server: SocketAddr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((address, 0)).into()).unwrap();
    socket.connect(&server.into()).unwrap();
    Client::of(socket.into())
}

/// The figures are printed, not asserted: they depend on the machine.
#[test]
fn ten_thousand_connections_are_listed_at_once() {
    let server = Setup::new().limit(u32::try_from(MANY).unwrap() + 10).start();
    let clients: Vec<_> = (0..MANY).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.wait_until_active(MANY as u64);
    let before = Instant::now();
    let list = server.get("/connections?limit=100000").json();
    let took = before.elapsed();
    assert_eq!(list["total"], MANY);
    assert_eq!(list["connections"].as_array().unwrap().len(), MANY);
    println!("{MANY} connections listed in {took:.1?}, read and parsed");
    drop(clients);
    wait_until("all are gone", || server.active() == 0);
}

#[test]
fn a_process_that_was_stopped_reads_what_has_come_in_before_it_judges_who_was_silent() {
    const SESSIONS: u32 = 400;
    const NEWCOMERS: u32 = 100;
    let timeouts = "[client]\nlogin_timeout = \"5s\"\nidle_timeout = \"5s\"\n";
    let server = Setup::new().limit(SESSIONS + NEWCOMERS).config(timeouts).start();
    let mut sessions: Vec<_> = (0..SESSIONS).map(|_| server.admin()).collect();
    let mut newcomers: Vec<_> = (0..NEWCOMERS).map(|_| server.connect()).collect();
    server.wait_until_active((SESSIONS + NEWCOMERS).into());

    server.signal(Signal::STOP);
    for client in &mut sessions {
        client.send("{\"type\":\"LIST_SPACES\"}\n");
    }
    for client in &mut newcomers {
        client.send(format!("{}\n", json!({"username": "admin", "password": PASSWORD})));
    }
    // Longer than either timeout: there is no condition to wait for.
    std::thread::sleep(Duration::from_millis(6500));
    server.signal(Signal::CONT);
    for client in sessions.iter_mut().chain(&mut newcomers) {
        let answer = client.try_line().expect("no reset").expect("an answer, not the end");
        assert!(answer.contains("OK"), "{answer}");
    }
    // A client that sends nothing from then on is closed as before.
    server.wait_until_active(0);
}

/// A name from a version without a rule for names.
const OLD_NAME: &str = "bob\u{202e}\u{1b}[2J ";

#[test]
fn what_cannot_be_seen_of_a_name_is_written_out() {
    let mut server = Setup::new().start();
    let bob = json!({"username": "bob", "password": "secret"});
    server.admin().expect_ok(&json!({"type": "CREATE_USER", "new_user": bob}), "USER_CREATED");
    assert!(server.stop().success());
    rename_bob(&server.data_dir());
    server.start_again();
    let mut bob = server.login(OLD_NAME, "secret");

    let shown = "bob\\u{202e}\\u{1b}[2J\\u{20}";
    let reply = server.get("/connections");
    assert!(reply.body.is_ascii() && !reply.body.contains('\u{1b}'), "{}", reply.body);
    assert_eq!(reply.json()["connections"][0]["user"], OLD_NAME);
    let json = stdout(&server.manager("connections --json"));
    assert!(!json.contains(['\u{202e}', '\u{1b}']), "{json}");
    let table = stdout(&server.manager("connections"));
    assert!(!table.contains(['\u{202e}', '\u{1b}']), "{table}");
    assert_eq!(table.matches(shown).count(), 2, "{table}");
    let profile = format!("Username: {shown} | Role: user | Permissions: None");
    server.admin().expect_ok(&json!({"type": "GET_USER", "data": OLD_NAME}), &profile);
    bob.expect_ok(&json!({"type": "LIST_SPACES"}), r#"{"status":"OK","spaces":[]}"#);
    assert!(!server.log().contains(['\u{202e}', '\u{1b}']), "{}", server.log());
}

fn rename_bob(data_dir: &std::path::Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = Store::open(data_dir, Durability::Always).unwrap();
    let (_, record) =
        store.system_entries().unwrap().into_iter().find(|(key, _)| key == b"user/bob").unwrap();
    runtime.block_on(store.system_put(format!("user/{OLD_NAME}").as_bytes(), record)).unwrap();
    store.close().unwrap();
}
