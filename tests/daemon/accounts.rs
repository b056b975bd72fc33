//! The rules of accounts, as clients see them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::harness::{Client, PASSWORD, Server, Setup};

const LAST_ADMIN: &str = "the last admin cannot be deleted or demoted";

fn error(message: &str) -> Value {
    json!({"status": "ERROR", "message": message})
}

fn create(username: &str, password: &str, role: &str) -> Value {
    let user = json!({"username": username, "password": password, "role": role});
    json!({"type": "CREATE_USER", "new_user": user})
}

fn set_role(username: &str, role: &str) -> Value {
    json!({"type": "UPDATE_USER_ROLE", "new_user": {"username": username, "role": role}})
}

fn set_password(username: &str, password: &str) -> Value {
    json!({"type": "UPDATE_USER_PASSWORD", "new_user": {"username": username, "password": password}})
}

fn set_permissions(username: &str, permissions: &Value) -> Value {
    let user = json!({"username": username, "permissions": permissions});
    json!({"type": "UPDATE_USER_PERMISSIONS", "new_user": user})
}

fn delete(username: &str) -> Value {
    json!({"type": "DELETE_USER", "delete_user": {"username": username}})
}

fn get(key: &str) -> Value {
    json!({"type": "GET", "space": "s", "key": key})
}

fn put(key: &str) -> Value {
    json!({"type": "PUT", "space": "s", "key": key, "value": "v"})
}

fn refused_login(server: &Server, username: &str, password: &str) {
    let mut client = server.connect();
    let answer = client.ask(&json!({"username": username, "password": password}));
    assert_eq!(answer, error("authentication failed"));
    client.expect_end();
}

/// A server with the space `s`, its admin, and the user `zoe` with an open session.
fn with_zoe() -> (Server, Client, Client) {
    let server = Setup::new().limit(50).start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    admin.expect_ok(&create("zoe", "secret", "user"), "USER_CREATED");
    let zoe = server.login("zoe", "secret");
    (server, admin, zoe)
}

#[test]
fn the_last_admin_stays_whoever_asks() {
    let (server, mut admin, _zoe) = with_zoe();
    assert_eq!(admin.ask(&delete("admin")), error(LAST_ADMIN));
    assert_eq!(admin.ask(&set_role("admin", "user")), error(LAST_ADMIN));
    admin.expect_ok(&set_role("zoe", "admin"), "USER_ROLE_UPDATED");
    // Two admins remove each other at the same moment: one of them stays, with all rights.
    let mut zoe = server.login("zoe", "secret");
    admin.send(format!("{}\n", delete("zoe")));
    zoe.send(format!("{}\n", delete("admin")));
    let answers = [admin.line().unwrap(), zoe.line().unwrap()];
    let deleted = answers.iter().filter(|answer| answer.contains("USER_DELETED")).count();
    assert_eq!(deleted, 1, "{answers:?}");
    let (mut stays, goes) = if answers[0].contains("USER_DELETED") { (admin, "zoe") } else { (zoe, "admin") };
    assert_eq!(stays.ask(&json!({"type": "GET_USER", "data": goes})), error("user not found"));
    stays.expect_ok(&json!({"type": "DELETE_SPACE", "data": "s"}), "SPACE_DELETED");
}

#[test]
fn a_new_password_counts_from_the_next_login_and_ends_nothing() {
    let (mut server, mut admin, mut zoe) = with_zoe();
    admin.expect_ok(&set_permissions("zoe", &json!({"s": "write"})), "USER_ROLE_UPDATED");
    admin.expect_ok(&set_password("zoe", "second"), "USER_PASSWORD_UPDATED");
    zoe.expect_ok(&put("k"), "OK");
    refused_login(&server, "zoe", "secret");
    server.login("zoe", "second").expect_ok(&put("k"), "OK");
    zoe.expect_ok(&put("k"), "OK");
    server.kill();
    server.start_again();
    refused_login(&server, "zoe", "secret");
    server.login("zoe", "second").expect_ok(&put("k"), "OK");
}

#[test]
fn a_change_of_rights_reaches_open_sessions_with_their_next_request() {
    let (_server, mut admin, mut zoe) = with_zoe();
    assert_eq!(zoe.ask(&get("k")), error("read permission denied"));
    for _ in 0..50 {
        admin.expect_ok(&set_permissions("zoe", &json!({"s": "read"})), "USER_ROLE_UPDATED");
        assert_eq!(zoe.ask(&put("k")), error("write permission denied"));
        assert_ne!(zoe.ask(&get("k")), error("read permission denied"));
        admin.expect_ok(&set_permissions("zoe", &json!({"s": "write"})), "USER_ROLE_UPDATED");
        zoe.expect_ok(&put("k"), "OK");
        admin.expect_ok(&set_permissions("zoe", &json!({})), "USER_ROLE_UPDATED");
        assert_eq!(zoe.ask(&get("k")), error("read permission denied"));
        admin.expect_ok(&set_role("zoe", "admin"), "USER_ROLE_UPDATED");
        zoe.expect_ok(&put("k"), "OK");
        admin.expect_ok(&set_role("zoe", "user"), "USER_ROLE_UPDATED");
        assert_eq!(zoe.ask(&delete("admin")), error("admin access required"));
    }
}

#[test]
fn who_is_deleted_may_do_nothing_more_also_when_made_anew() {
    let (server, mut admin, mut zoe) = with_zoe();
    admin.expect_ok(&set_permissions("zoe", &json!({"s": "write"})), "USER_ROLE_UPDATED");
    zoe.expect_ok(&put("k"), "OK");
    admin.expect_ok(&delete("zoe"), "USER_DELETED");
    assert_eq!(zoe.ask(&get("k"))["status"], "ERROR");
    refused_login(&server, "zoe", "secret");
    admin.expect_ok(&create("zoe", "other", "user"), "USER_CREATED");
    refused_login(&server, "zoe", "secret");
    server.login("zoe", "other");
}

#[test]
fn a_session_ends_with_its_account_though_there_is_another_of_that_name() {
    let (server, mut admin, mut zoe) = with_zoe();
    admin.expect_ok(&set_permissions("zoe", &json!({"s": "write"})), "USER_ROLE_UPDATED");
    admin.expect_ok(&set_password("zoe", "changed"), "USER_PASSWORD_UPDATED");
    zoe.expect_ok(&put("k"), "OK");
    admin.expect_ok(&delete("zoe"), "USER_DELETED");
    admin.expect_ok(&create("zoe", "other", "admin"), "USER_CREATED");
    // It sent no request while the account did not exist.
    assert_eq!(zoe.ask(&get("k")), error("authentication failed"));
    zoe.expect_end();
    server.login("zoe", "other").expect_ok(&put("k"), "OK");
}

#[test]
fn names_and_passwords_are_of_any_language_and_have_limits() {
    let (mut server, mut admin, _zoe) = with_zoe();
    let long_name = "大".repeat(85);
    let long_password = "🔑".repeat(256);
    let users = [
        ("Jürgen 大 👩 \"quoted\" \\ and so on", "pässwörd\n\0🔑 "),
        ("ユーザー", "пароль"),
        (long_name.as_str(), long_password.as_str()),
        ("e\u{301}", "decomposed"),
    ];
    for (username, password) in users {
        admin.expect_ok(&create(username, password, "user"), "USER_CREATED");
    }
    server.kill();
    server.start_again();
    let mut admin = server.admin();
    for (username, password) in users {
        server.login(username, password);
        let profile = format!("Username: {username} | Role: user | Permissions: None");
        admin.expect_ok(&json!({"type": "GET_USER", "data": username}), &profile);
    }
    // Not the same as with the letter in one piece: names are compared as they are, and two that look alike are refused.
    refused_login(&server, "é", "decomposed");
    for (username, password, told) in [
        ("", "p", "user name must not be empty"),
        (&*"n".repeat(256), "p", "user name must not exceed 255 bytes"),
        ("a\nb", "p", "user name must consist of visible characters"),
        ("a\u{202e}", "p", "user name must consist of visible characters"),
        ("👩‍🚀", "p", "user name must consist of visible characters"),
        ("a ", "p", "user name must not start or end with white space"),
        ("é", "p", "user name can be mistaken for \"e\u{301}\", which exists"),
        ("zo\u{435}", "p", "user name can be mistaken for \"zoe\", which exists"),
        ("u", "", "password must not be empty"),
        ("u", &*"p".repeat(1025), "password must not exceed 1024 bytes"),
    ] {
        assert_eq!(admin.ask(&create(username, password, "user")), error(told));
    }
    assert_eq!(
        admin.ask(&set_password("zoe", &"p".repeat(1025))),
        error("password must not exceed 1024 bytes")
    );
    assert_eq!(admin.ask(&create("admin", PASSWORD, "user")), error("user already exists"));
}

/// The time of a refusal does not reveal whether the account exists. A busy machine may disturb a
/// measurement, but does not make one of them fast repeatedly.
#[test]
fn the_time_of_a_refusal_does_not_tell_whether_the_user_exists() {
    let (server, _admin, _zoe) = with_zoe();
    let mut measured = Vec::new();
    for round in 0..20 {
        // From a new address, which is not slowed down yet.
        let peer = Ipv4Addr::new(127, 0, 2, round);
        let known = fastest_refusal(&server, peer, "zoe");
        let unknown = fastest_refusal(&server, peer, "nobody");
        // Both have computed a hash.
        assert!(known.min(unknown) > Duration::from_millis(2), "{known:?} and {unknown:?}");
        if (0.7..1.4).contains(&(known.as_secs_f64() / unknown.as_secs_f64())) {
            println!("refused after {known:.1?} and, unknown, {unknown:.1?}");
            return;
        }
        measured.push((known, unknown));
    }
    panic!("{measured:?}");
}

fn fastest_refusal(server: &Server, peer: Ipv4Addr, username: &str) -> Duration {
    let attempts = (0..4).map(|attempt| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((peer, 0)).into()).unwrap();
        socket.connect(&server.address().into()).unwrap();
        let mut client = Client::of(socket.into());
        let start = Instant::now();
        let answer = client.ask(&json!({"username": username, "password": format!("wrong {attempt}")}));
        assert_eq!(answer, error("authentication failed"));
        start.elapsed()
    });
    attempts.min().unwrap()
}
