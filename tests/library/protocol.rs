//! The requests and replies of the protocol, line by line.

use proptest::prelude::*;
use proptest::strategy::LazyJust;
use serde_json::{Value, json};
use shibudb::protocol::client::{self, Answer};
use shibudb::protocol::{AdminRequest, Done, Login, Profile, Refusal, Reply, Request, Text};

fn rendered(reply: &Reply<'_>) -> String {
    let mut out = Vec::new();
    reply.render(&mut out);
    String::from_utf8(out).unwrap()
}

/// The error that a client reads when `line` is invalid.
fn complaint(line: &str) -> String {
    Request::parse(line.as_bytes()).unwrap_err().to_string()
}

fn admin(line: &str) -> AdminRequest {
    match Request::parse(line.as_bytes()).unwrap() {
        Request::Admin(request) => *request,
        other => panic!("{other:?}"),
    }
}

#[test]
fn key_value_requests() {
    assert_eq!(
        Request::parse(br#"{"type":"PUT","key":"k","value":"v","space":"s","user":"ignored"}"#).unwrap(),
        Request::Put { space: Some("s".into()), key: "k".into(), value: "v".into() }
    );
    assert_eq!(
        Request::parse(br#"{"key":"k","unknown":{"deep":[1,2]},"type":"GET"}"#).unwrap(),
        Request::Get { space: None, key: "k".into() }
    );
    assert_eq!(
        Request::parse(br#" {"type":"DELETE","space":"","key":""} "#).unwrap(),
        Request::Delete { space: None, key: "".into() }
    );
    assert_eq!(
        Request::parse(br#"{"type":"USE_SPACE","space":"s"}"#).unwrap(),
        Request::UseSpace { space: "s".into() }
    );
    assert_eq!(Request::parse(br#"{"type":"LIST_SPACES"}"#).unwrap(), Request::ListSpaces);
    for vector in ["INSERT_VECTOR", "SEARCH_TOPK", "RANGE_SEARCH", "GET_VECTOR", "DELETE_VECTOR"] {
        let line =
            json!({"type": vector, "key": "1", "value": "1,2", "dimension": 3, "radius": 0.5}).to_string();
        assert_eq!(Request::parse(line.as_bytes()).unwrap(), Request::Vector);
    }
}

#[test]
fn plain_strings_are_borrowed_and_escaped_ones_are_not_lost() {
    let line = br#"{"type":"GET","key":"\u00fc\ud83d\ude00\n\"","space":"s"}"#;
    assert_eq!(
        Request::parse(line).unwrap(),
        Request::Get { space: Some("s".into()), key: "ü😀\n\"".into() }
    );
}

#[test]
fn admin_requests() {
    assert_eq!(
        admin(
            r#"{"type":"CREATE_SPACE","space":"s","engine_type":"key-value","index_type":"Flat","enable_wal":false}"#
        ),
        AdminRequest::CreateSpace {
            space: "s".into(),
            engine: Some("key-value".into()),
            enable_wal: Some(false)
        }
    );
    assert_eq!(
        admin(r#"{"type":"DELETE_SPACE","data":"s"}"#),
        AdminRequest::DeleteSpace { space: "s".into() }
    );
    assert_eq!(
        admin(
            r#"{"type":"CREATE_USER","new_user":{"username":"u","password":"p","role":"user","permissions":{"s":"read"}}}"#
        ),
        AdminRequest::CreateUser {
            username: "u".into(),
            password: "p".into(),
            role: Some("user".into()),
            permissions: [("s".into(), "read".into())].into()
        }
    );
    assert_eq!(
        admin(r#"{"type":"UPDATE_USER_PASSWORD","new_user":{"username":"u","password":"p"}}"#),
        AdminRequest::UpdatePassword { username: "u".into(), password: "p".into() }
    );
    assert_eq!(
        admin(r#"{"type":"UPDATE_USER_ROLE","new_user":{"username":"u","role":"admin"}}"#),
        AdminRequest::UpdateRole { username: "u".into(), role: "admin".into() }
    );
    assert_eq!(
        admin(r#"{"type":"UPDATE_USER_PERMISSIONS","new_user":{"username":"u","permissions":{}}}"#),
        AdminRequest::UpdatePermissions { username: "u".into(), permissions: [].into() }
    );
    assert_eq!(
        admin(r#"{"type":"DELETE_USER","delete_user":{"username":"u"}}"#),
        AdminRequest::DeleteUser { username: "u".into() }
    );
    assert_eq!(admin(r#"{"type":"GET_USER","data":"u"}"#), AdminRequest::GetUser { username: "u".into() });
}

#[test]
fn a_complaint_names_what_is_wrong() {
    assert!(complaint("").starts_with("invalid JSON: "));
    assert!(complaint("GET key").starts_with("invalid JSON: "));
    assert!(complaint(r#"{"type":"GET","key":"k"} x"#).starts_with("invalid JSON: trailing characters"));
    assert_eq!(complaint("[]"), "invalid request: expected a JSON object");
    assert!(complaint("7").starts_with("invalid request: "));
    assert!(
        complaint(r#"{"type":"PUT","key":1,"value":"v"}"#)
            .starts_with("invalid request: invalid type: integer `1`")
    );
    assert!(complaint(r#"{"type":"GET","key":"a","key":"b"}"#).contains("duplicate field `key`"));
    assert!(complaint(r#"{"type":"GET","key":"\ud800"}"#).starts_with("invalid JSON: "));
    assert_eq!(complaint("{}"), "missing field \"type\"");
    assert_eq!(complaint(r#"{"type":"EXPLODE"}"#), "unknown request type \"EXPLODE\"");
    assert_eq!(complaint(r#"{"type":"PUT","value":"v"}"#), "PUT: missing field \"key\"");
    assert_eq!(complaint(r#"{"type":"PUT","key":"k"}"#), "PUT: missing field \"value\"");
    assert_eq!(complaint(r#"{"type":"GET","space":"s"}"#), "GET: missing field \"key\"");
    assert_eq!(complaint(r#"{"type":"USE_SPACE"}"#), "USE_SPACE: missing field \"space\"");
    assert_eq!(complaint(r#"{"type":"DELETE_SPACE","space":"s"}"#), "DELETE_SPACE: missing field \"data\"");
    assert_eq!(
        complaint(r#"{"type":"CREATE_USER","new_user":{"username":"u"}}"#),
        "CREATE_USER: missing field \"new_user.password\""
    );
}

#[test]
fn a_complaint_never_repeats_a_whole_value() {
    let line = json!({"type": "CREATE_SPACE", "space": "s", "enable_wal": "ü".repeat(100_000)}).to_string();
    let refusal = Refusal::from(Request::parse(line.as_bytes()).unwrap_err());
    assert!(rendered(&refusal.into()).len() < 400);
}

#[test]
fn logins() {
    assert_eq!(
        Login::parse(br#"{"username":"u","password":"p","extra":1}"#),
        Some(Login { username: "u".into(), password: "p".into() })
    );
    for line in ["", "x", "{}", "[\"u\",\"p\"]", r#"{"username":"u"}"#, r#"{"username":"u","password":null}"#]
    {
        assert_eq!(Login::parse(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn replies_to_the_letter() {
    let nobody = Profile { username: "u", role: "user", permissions: &[] };
    let somebody = Profile { permissions: &[("a", "read"), ("b", "write")], ..nobody };
    for (reply, line) in [
        (Done::Stored.into(), r#"{"status":"OK","message":"OK"}"#),
        (Done::Deleted.into(), r#"{"status":"OK","message":"DELETED"}"#),
        (Done::SpaceChanged.into(), r#"{"status":"OK","message":"SPACE_CHANGED"}"#),
        (Done::SpaceCreated.into(), r#"{"status":"OK","message":"SPACE_CREATED"}"#),
        (Done::SpaceDeleted.into(), r#"{"status":"OK","message":"SPACE_DELETED"}"#),
        (Done::UserCreated.into(), r#"{"status":"OK","message":"USER_CREATED"}"#),
        (Done::PasswordUpdated.into(), r#"{"status":"OK","message":"USER_PASSWORD_UPDATED"}"#),
        (Done::RoleUpdated.into(), r#"{"status":"OK","message":"USER_ROLE_UPDATED"}"#),
        (Done::UserDeleted.into(), r#"{"status":"OK","message":"USER_DELETED"}"#),
        (Reply::Value("a\"b\nü".as_bytes()), r#"{"status":"OK","value":"a\"b\nü"}"#),
        (
            Reply::Welcome(somebody),
            r#"{"status":"OK","user":{"username":"u","role":"user","permissions":{"a":"read","b":"write"}}}"#,
        ),
        (Reply::Welcome(nobody), r#"{"status":"OK","user":{"username":"u","role":"user","permissions":{}}}"#),
        (
            Reply::Spaces(&["a", "b"]),
            r#"{"status":"OK","message":"{\"status\":\"OK\",\"spaces\":[\"a\",\"b\"]}"}"#,
        ),
        (
            Reply::User(somebody),
            r#"{"status":"OK","message":"Username: u | Role: user | Permissions: a=read, b=write"}"#,
        ),
        (Reply::User(nobody), r#"{"status":"OK","message":"Username: u | Role: user | Permissions: None"}"#),
        (
            Refusal::AtCapacity { limit: 1000 }.into(),
            r#"{"status":"ERROR","message":"Server at maximum capacity (1000 connections). Please try again later."}"#,
        ),
    ] {
        assert_eq!(rendered(&reply), format!("{line}\n"));
    }
}

#[test]
fn refusals_to_the_letter() {
    for (refusal, words) in [
        (Refusal::AuthenticationFailed, "authentication failed"),
        (Refusal::ReadDenied, "read permission denied"),
        (Refusal::WriteDenied, "write permission denied"),
        (Refusal::AdminRequired, "admin access required"),
        (Refusal::KeyNotFound, "key not found"),
        (Refusal::SpaceNotFound, "space not found"),
        (Refusal::SpaceExists, "space already exists"),
        (Refusal::SpaceMissing, "space does not exist"),
        (Refusal::UserExists, "user already exists"),
        (Refusal::UserNotFound, "user not found"),
    ] {
        assert_eq!(rendered(&refusal.into()), format!("{{\"status\":\"ERROR\",\"message\":\"{words}\"}}\n"));
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Err(error) = Request::parse(&bytes) {
            Reply::from(Refusal::from(error)).render(&mut Vec::new());
        }
        let _: Option<Login> = Login::parse(&bytes);
    }

    #[test]
    fn arbitrary_objects_never_panic(
        kind in "(PUT|GET|DELETE|USE_SPACE|CREATE_SPACE|CREATE_USER|GET_USER|[A-Z]{1,8})",
        fields in prop::collection::vec(
            ("(key|value|space|data|new_user|enable_wal|engine_type)", "(\"[^\"\\\\]{0,9}\"|null|true|[0-9]{1,3}|\\{\\})"),
            0..6,
        ),
    ) {
        let fields: String = fields.iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
        if let Err(error) = Request::parse(format!("{{\"type\":\"{kind}\"{fields}}}").as_bytes()) {
            Reply::from(Refusal::from(error)).render(&mut Vec::new());
        }
    }

    #[test]
    fn any_string_survives_the_way_in_and_the_way_out(key in any::<String>(), value in any::<String>()) {
        let line = json!({"type": "PUT", "space": "s", "key": key, "value": value}).to_string();
        let Request::Put { key: parsed_key, value: parsed_value, .. } = Request::parse(line.as_bytes()).unwrap()
        else { panic!("{line}") };
        prop_assert_eq!(&*parsed_key, &key);
        prop_assert_eq!(&*parsed_value, &value);

        let reply = rendered(&Reply::Value(parsed_value.as_bytes()));
        prop_assert_eq!(reply.find('\n'), Some(reply.len() - 1), "one reply is one line");
        prop_assert_eq!(serde_json::from_str::<Value>(&reply).unwrap(), json!({"status": "OK", "value": value}));
    }
}

/// Any request that can be asked for.
fn any_request() -> impl Strategy<Value = Request<'static>> {
    let text = || any::<String>();
    let permissions = || proptest::collection::btree_map(text(), text(), 0..3);
    let admin = prop_oneof![
        (text(), proptest::option::of(text()), proptest::option::of(any::<bool>()))
            .prop_map(|(space, engine, enable_wal)| AdminRequest::CreateSpace { space, engine, enable_wal }),
        text().prop_map(|space| AdminRequest::DeleteSpace { space }),
        (text(), text(), proptest::option::of(text()), permissions()).prop_map(
            |(username, password, role, permissions)| AdminRequest::CreateUser {
                username,
                password,
                role,
                permissions
            }
        ),
        (text(), text()).prop_map(|(username, password)| AdminRequest::UpdatePassword { username, password }),
        (text(), text()).prop_map(|(username, role)| AdminRequest::UpdateRole { username, role }),
        (text(), permissions())
            .prop_map(|(username, permissions)| AdminRequest::UpdatePermissions { username, permissions }),
        text().prop_map(|username| AdminRequest::DeleteUser { username }),
        text().prop_map(|username| AdminRequest::GetUser { username }),
    ];
    // An empty name means the space in use, as no name does.
    let space = || proptest::option::of("(?s).+".prop_map(Text::from));
    prop_oneof![
        (space(), text(), text()).prop_map(|(space, key, value)| Request::Put {
            space,
            key: key.into(),
            value: value.into()
        }),
        (space(), text()).prop_map(|(space, key)| Request::Get { space, key: key.into() }),
        (space(), text()).prop_map(|(space, key)| Request::Delete { space, key: key.into() }),
        text().prop_map(|space| Request::UseSpace { space: space.into() }),
        LazyJust::new(|| Request::ListSpaces),
        LazyJust::new(|| Request::Vector),
        admin.prop_map(|request| Request::Admin(Box::new(request))),
    ]
}

proptest! {
    #[test]
    fn what_a_client_renders_is_what_the_server_reads(request in any_request()) {
        let line = request.render();
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
        prop_assert_eq!(Request::parse(&line).unwrap(), request);
    }

    #[test]
    fn so_is_a_login(username: String, password: String) {
        let login = Login { username, password };
        prop_assert_eq!(Login::parse(&login.render()), Some(login));
    }
}

#[test]
fn a_client_reads_what_the_server_renders() {
    let parse = |reply: Reply<'_>| {
        let mut line = Vec::new();
        reply.render(&mut line);
        Answer::parse(&line).unwrap()
    };
    assert_eq!(parse(Done::SpaceCreated.into()), Answer::Done("SPACE_CREATED".into()));
    assert_eq!(parse(Reply::Value("a \"b\"\n大".as_bytes())), Answer::Value("a \"b\"\n大".into()));
    assert_eq!(parse(Refusal::KeyNotFound.into()), Answer::Refused("key not found".into()));
    let Answer::Done(document) = parse(Reply::Spaces(&["a", "b \"c\""])) else { panic!("not done") };
    assert_eq!(client::spaces(&document).unwrap(), ["a", "b \"c\""]);
    assert!(Answer::parse(b"HTTP/1.1 400 Bad Request\r\n").is_err());
}
