//! The table of requests and answers, word for word.

use serde_json::{Value, json};

use super::test_server::{DEFAULTS, TestServer, error};
use shibudb::server::ClientSettings;

#[test]
fn a_login_is_answered_with_the_user_and_never_with_a_password() {
    let server = TestServer::new(10);
    let mut client = server.connect();
    client.send("{\"username\":\"admin\",\"password\":\"secret\"}\r\n");
    assert_eq!(
        client.line().unwrap(),
        r#"{"status":"OK","user":{"username":"admin","role":"admin","permissions":{}}}"#
    );
}

#[test]
fn whatever_is_wrong_with_a_login_it_gets_the_same_answer_and_the_end() {
    let server = TestServer::new(10);
    for login in [
        r#"{"username":"admin","password":"wrong"}"#,
        r#"{"username":"nobody","password":"secret"}"#,
        r#"{"username":"admin"}"#,
        r#"{"type":"GET","key":"k","space":"s"}"#,
        "x",
        "",
        "\u{0}",
    ] {
        let mut client = server.connect();
        client.send(format!("{login}\n"));
        assert_eq!(client.answer(), error("authentication failed"), "{login}");
        client.expect_end();
    }
    server.wait_until_active(0);
}

#[test]
fn keys_and_values() {
    let server = TestServer::new(10);
    let mut client = server.admin_in_space();
    client.expect_ok(&json!({"type": "PUT", "space": "s", "key": "k", "value": "v", "user": "x"}), "OK");
    assert_eq!(
        client.ask(&json!({"type": "GET", "space": "s", "key": "k"})),
        json!({"status": "OK", "value": "v"})
    );
    client.expect_ok(&json!({"type": "DELETE", "space": "s", "key": "k"}), "DELETED");
    client.expect_error(&json!({"type": "DELETE", "space": "s", "key": "k"}), "key not found");
    client.expect_error(&json!({"type": "GET", "space": "s", "key": "k"}), "key not found");
    for request in ["GET", "PUT", "DELETE"] {
        let request = json!({"type": request, "space": "nowhere", "key": "k", "value": "v"});
        client.expect_error(&request, "space not found");
    }
}

#[test]
fn any_text_is_a_key_and_a_value() {
    let server = TestServer::new(10);
    let mut client = server.admin_in_space();
    let large = "grüße \u{1F600} \"quoted\" \\ \n\t\u{0}".repeat(20_000);
    assert!(large.len() > 500_000);
    for (key, value) in [("\n\"\\\u{7f}ключ", "a\r\nb"), ("empty", ""), ("large", large.as_str())] {
        client.put(key, value);
        assert_eq!(client.ask(&json!({"type": "GET", "key": key})), json!({"status": "OK", "value": value}));
    }
}

#[test]
fn a_request_that_names_no_space_means_the_one_in_use() {
    let server = TestServer::new(10);
    let mut client = server.admin();
    let get = json!({"type": "GET", "key": "k"});
    client.expect_error(&get, "no space selected: name one in \"space\", or choose one with USE_SPACE");
    client.expect_error(&json!({"type": "USE_SPACE", "space": "a"}), "space not found");
    for space in ["a", "b"] {
        client.expect_ok(&json!({"type": "CREATE_SPACE", "space": space}), "SPACE_CREATED");
        client.expect_ok(&json!({"type": "USE_SPACE", "space": space}), "SPACE_CHANGED");
        client.put("k", space);
    }
    assert_eq!(client.ask(&get)["value"], "b");
    assert_eq!(client.ask(&json!({"type": "GET", "key": "k", "space": "a"}))["value"], "a");
    client.expect_ok(&json!({"type": "DELETE_SPACE", "data": "b"}), "SPACE_DELETED");
    client.expect_error(&get, "space not found");
}

#[test]
fn spaces() {
    let server = TestServer::new(10);
    let mut admin = server.admin();
    let create = json!({
        "type": "CREATE_SPACE", "space": "s", "engine_type": "key-value", "index_type": "Flat", "metric": "L2",
        "enable_wal": false, "user": "admin"
    });
    admin.expect_ok(&create, "SPACE_CREATED");
    admin.expect_error(&create, "space already exists");
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "räume 2"}), "SPACE_CREATED");
    admin.send("{\"type\":\"LIST_SPACES\"}\n");
    assert_eq!(
        admin.line().unwrap(),
        r#"{"status":"OK","message":"{\"status\":\"OK\",\"spaces\":[\"räume 2\",\"s\"]}"}"#
    );
    admin.expect_ok(&json!({"type": "DELETE_SPACE", "data": "s"}), "SPACE_DELETED");
    admin.expect_error(&json!({"type": "DELETE_SPACE", "data": "s"}), "space does not exist");
    admin.expect_error(&json!({"type": "CREATE_SPACE", "space": ""}), "space name must not be empty");
    admin.expect_error(
        &json!({"type": "CREATE_SPACE", "space": "t", "engine_type": "graph"}),
        "unknown engine_type \"graph\": expected \"key-value\"",
    );
}

#[test]
fn vectors_are_refused_clearly() {
    let server = TestServer::new(10);
    let mut admin = server.admin();
    let words = "vector spaces are not supported by this server: engine_type must be \"key-value\"";
    admin.expect_error(
        &json!({"type": "CREATE_SPACE", "space": "v", "engine_type": "vector", "dimension": 3}),
        words,
    );
    for request in ["INSERT_VECTOR", "SEARCH_TOPK", "RANGE_SEARCH", "GET_VECTOR", "DELETE_VECTOR"] {
        admin.expect_error(&json!({"type": request, "space": "v", "key": "1", "value": "1,2,3"}), words);
    }
}

#[test]
fn users() {
    let server = TestServer::new(10);
    let mut admin = server.admin_in_space();
    let bob =
        json!({"username": "bob", "password": "pw-bob-1", "role": "user", "permissions": {"s": "read"}});
    admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": bob}), "USER_CREATED");
    admin.expect_error(&json!({"type": "CREATE_USER", "new_user": bob}), "user already exists");
    admin.expect_ok(
        &json!({"type": "GET_USER", "data": "bob"}),
        "Username: bob | Role: user | Permissions: s=read",
    );
    admin.expect_ok(
        &json!({"type": "GET_USER", "data": "admin"}),
        "Username: admin | Role: admin | Permissions: None",
    );
    let mut client = server.connect();
    client.send("{\"username\":\"bob\",\"password\":\"pw-bob-1\"}\n");
    assert_eq!(
        client.line().unwrap(),
        r#"{"status":"OK","user":{"username":"bob","role":"user","permissions":{"s":"read"}}}"#
    );

    let new_password = json!({"username": "bob", "password": "pw-bob-2"});
    admin.expect_ok(
        &json!({"type": "UPDATE_USER_PASSWORD", "new_user": new_password}),
        "USER_PASSWORD_UPDATED",
    );
    server.login("bob", "pw-bob-2");
    let role = json!({"username": "bob", "role": "admin"});
    admin.expect_ok(&json!({"type": "UPDATE_USER_ROLE", "new_user": role}), "USER_ROLE_UPDATED");
    let role = json!({"username": "bob", "role": "king"});
    admin.expect_error(
        &json!({"type": "UPDATE_USER_ROLE", "new_user": role}),
        "invalid role \"king\": expected \"admin\" or \"user\"",
    );
    let permissions = json!({"username": "bob", "permissions": {"s": "write", "t": "read"}});
    admin
        .expect_ok(&json!({"type": "UPDATE_USER_PERMISSIONS", "new_user": permissions}), "USER_ROLE_UPDATED");
    admin.expect_ok(
        &json!({"type": "GET_USER", "data": "bob"}),
        "Username: bob | Role: admin | Permissions: s=write, t=read",
    );
    admin.expect_ok(&json!({"type": "DELETE_USER", "delete_user": {"username": "bob"}}), "USER_DELETED");

    let nobody = json!({"username": "bob", "password": "p", "role": "user", "permissions": {}});
    for request in ["UPDATE_USER_PASSWORD", "UPDATE_USER_ROLE", "UPDATE_USER_PERMISSIONS"] {
        let request = json!({"type": request, "new_user": nobody});
        let answer = admin.ask(&request);
        assert_eq!(answer["status"], "ERROR", "{answer}");
    }
    admin.expect_error(&json!({"type": "GET_USER", "data": "bob"}), "user not found");
    admin.expect_error(&json!({"type": "DELETE_USER", "delete_user": {"username": "bob"}}), "user not found");
}

#[test]
fn permissions() {
    let server = TestServer::new(10);
    let mut admin = server.admin();
    for space in ["readable", "writable", "closed"] {
        admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": space}), "SPACE_CREATED");
        admin.expect_ok(&json!({"type": "PUT", "space": space, "key": "k", "value": "v"}), "OK");
    }
    let permissions = json!({"readable": "read", "writable": "write"});
    let bob = json!({"username": "bob", "password": "pw-bob-1", "permissions": permissions});
    admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": bob}), "USER_CREATED");
    let mut bob = server.login("bob", "pw-bob-1");

    let get = |space: &str| json!({"type": "GET", "space": space, "key": "k"});
    let put = |space: &str| json!({"type": "PUT", "space": space, "key": "k", "value": "w"});
    let delete = |space: &str| json!({"type": "DELETE", "space": space, "key": "k"});
    let choose = |space: &str| json!({"type": "USE_SPACE", "space": space});
    assert_eq!(bob.ask(&get("readable"))["value"], "v");
    bob.expect_error(&put("readable"), "write permission denied");
    bob.expect_error(&delete("readable"), "write permission denied");
    assert_eq!(bob.ask(&get("writable"))["value"], "v");
    bob.expect_ok(&put("writable"), "OK");
    bob.expect_ok(&delete("writable"), "DELETED");
    for unknown in ["closed", "nonexistent"] {
        bob.expect_error(&get(unknown), "read permission denied");
        bob.expect_error(&choose(unknown), "read permission denied");
        bob.expect_error(&put(unknown), "write permission denied");
        bob.expect_error(&delete(unknown), "write permission denied");
    }
    bob.expect_ok(&choose("readable"), "SPACE_CHANGED");
    bob.expect_error(&json!({"type": "PUT", "key": "k", "value": "w"}), "write permission denied");
    let spaces = bob.ask(&json!({"type": "LIST_SPACES"}));
    let spaces: Value = serde_json::from_str(spaces["message"].as_str().unwrap()).unwrap();
    assert_eq!(spaces, json!({"status": "OK", "spaces": ["readable", "writable"]}));

    let user = json!({"username": "eve", "password": "pw-eve-1", "role": "admin", "permissions": {}});
    for request in [
        json!({"type": "CREATE_SPACE", "space": "x"}),
        json!({"type": "DELETE_SPACE", "data": "writable"}),
        json!({"type": "CREATE_USER", "new_user": user}),
        json!({"type": "UPDATE_USER_PASSWORD", "new_user": user}),
        json!({"type": "UPDATE_USER_ROLE", "new_user": user}),
        json!({"type": "UPDATE_USER_PERMISSIONS", "new_user": user}),
        json!({"type": "DELETE_USER", "delete_user": {"username": "admin"}}),
        json!({"type": "GET_USER", "data": "bob"}),
    ] {
        bob.expect_error(&request, "admin access required");
    }
}

#[test]
fn a_change_of_rights_reaches_open_sessions_with_their_next_request() {
    let server = TestServer::new(10);
    let mut admin = server.admin_in_space();
    let bob = json!({"username": "bob", "password": "pw-bob-1"});
    admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": bob}), "USER_CREATED");
    let mut bob = server.login("bob", "pw-bob-1");
    let put = json!({"type": "PUT", "space": "s", "key": "k", "value": "v"});
    for (permissions, allowed) in
        [(json!({}), false), (json!({"s": "write"}), true), (json!({"s": "read"}), false)]
    {
        let user = json!({"username": "bob", "permissions": permissions});
        admin.expect_ok(&json!({"type": "UPDATE_USER_PERMISSIONS", "new_user": user}), "USER_ROLE_UPDATED");
        if allowed {
            bob.expect_ok(&put, "OK");
        } else {
            bob.expect_error(&put, "write permission denied");
        }
    }
    admin.expect_ok(&json!({"type": "DELETE_USER", "delete_user": {"username": "bob"}}), "USER_DELETED");
    bob.expect_error(&put, "authentication failed");
    bob.expect_end();
}

#[test]
fn what_cannot_be_understood_is_answered_and_the_session_goes_on() {
    let server = TestServer::new(10);
    let mut client = server.admin_in_space();
    for (line, words) in [
        ("", "invalid JSON: "),
        ("\r", "invalid JSON: "),
        ("GET k", "invalid JSON: "),
        ("[1]", "invalid request: "),
        (r#"{"type":"PUT","key":1,"value":"v"}"#, "invalid request: "),
        ("{}", "missing field \"type\""),
        (r#"{"type":"NOPE"}"#, "unknown request type \"NOPE\""),
        (r#"{"type":"PUT","key":"k"}"#, "PUT: missing field \"value\""),
    ] {
        client.send(format!("{line}\n"));
        let answer = client.answer();
        assert_eq!(answer["status"], "ERROR");
        assert!(answer["message"].as_str().unwrap().starts_with(words), "{line}: {answer}");
    }
    client.send(b"\xff\xfe{\"\n");
    assert_eq!(client.answer()["status"], "ERROR");
    client.put("still", "alive");
}

#[test]
fn a_line_that_is_too_long_ends_the_connection_with_a_word() {
    let server = TestServer::with_settings(10, ClientSettings { max_request: 1000, ..DEFAULTS });
    let put = |length: usize| {
        let frame = json!({"type": "PUT", "key": "k", "value": ""}).to_string().len();
        json!({"type": "PUT", "key": "k", "value": "v".repeat(length - frame)})
    };
    let mut client = server.admin_in_space();
    client.expect_ok(&put(1000), "OK");
    client.expect_error(&put(1001), "request too long: a line may have at most 1000 bytes");
    client.expect_end();

    let mut client = server.admin();
    client.send("x".repeat(300_000));
    assert_eq!(client.answer(), error("request too long: a line may have at most 1000 bytes"));
    client.expect_end();

    let mut stranger = server.connect();
    stranger.send("x".repeat(5000));
    assert_eq!(stranger.answer(), error("request too long: a line may have at most 1000 bytes"));
    stranger.expect_end();
    server.wait_until_active(0);

    server.settings.send_replace(DEFAULTS);
    let mut client = server.admin();
    client.expect_ok(&json!({"type": "USE_SPACE", "space": "s"}), "SPACE_CHANGED");
    client.expect_ok(&put(5000), "OK");
    let mut stranger = server.connect();
    stranger.send("x".repeat(17_000));
    assert_eq!(stranger.answer(), error("request too long: a line may have at most 16384 bytes"));
    stranger.expect_end();
}
