//! Administrative acts are in the log: the act, its object, the actor, the address, and the outcome.

use serde_json::{Value, json};

use crate::harness::{Client, PASSWORD, Setup, sandbox};

/// Performs one of each.
fn act(admin: &mut Client) {
    let user = |user: Value, kind: &str| json!({"type": kind, "new_user": user});
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    let zoe =
        json!({"username": "zoe", "password": "first secret", "role": "user", "permissions": {"s": "read"}});
    admin.expect_ok(&user(zoe.clone(), "CREATE_USER"), "USER_CREATED");
    assert_eq!(admin.ask(&user(zoe, "CREATE_USER"))["message"], "user already exists");
    let other = json!({"username": "zoe", "password": "second secret"});
    admin.expect_ok(&user(other, "UPDATE_USER_PASSWORD"), "USER_PASSWORD_UPDATED");
    let other = json!({"username": "zoe", "role": "admin"});
    admin.expect_ok(&user(other, "UPDATE_USER_ROLE"), "USER_ROLE_UPDATED");
    let other = json!({"username": "zoe", "permissions": {"s": "write"}});
    admin.expect_ok(&user(other, "UPDATE_USER_PERMISSIONS"), "USER_ROLE_UPDATED");
    admin.ask(&json!({"type": "GET_USER", "data": "zoe"}));
    admin.expect_ok(&json!({"type": "DELETE_USER", "delete_user": {"username": "zoe"}}), "USER_DELETED");
    admin.expect_ok(&json!({"type": "DELETE_SPACE", "data": "s"}), "SPACE_DELETED");
}

#[test]
fn each_act_is_told_with_who_and_whence_and_no_password() {
    let server = Setup::new().start();
    let mut admin = server.admin();
    let peer = admin.local_address();
    act(&mut admin);
    server.wait_for_log("space s deleted by ");
    let log = server.log();
    let by = format!(" by admin from {peer}");
    let told: Vec<_> =
        log.lines().filter_map(|line| Some(line.split_once(&by)?.0.split_once("  ")?.1)).collect();
    let told: Vec<_> = told.iter().map(|line| line.trim_start_matches("INFO ").trim_start()).collect();
    assert_eq!(
        told,
        [
            "space s created",
            "user zoe created as user with read s",
            "WARN user zoe not created as user with read s",
            "password of user zoe changed",
            "role of user zoe changed to admin",
            "rights of user zoe changed to write s",
            "user zoe deleted",
            "space s deleted",
        ],
        "{log}"
    );
    assert!(log.contains(&format!("{by}: user already exists")), "{log}");
    assert!(!log.contains("secret") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn what_others_try_is_told_once_and_then_as_a_number() {
    const TRIES: usize = 40;
    let server = Setup::new().start();
    let bob = json!({"username": "bob", "password": "first secret"});
    server.admin().expect_ok(&json!({"type": "CREATE_USER", "new_user": bob}), "USER_CREATED");
    let mut bob = server.login("bob", "first secret");
    let peer = bob.local_address();
    for _ in 0..TRIES {
        let answer = bob.ask(&json!({"type": "DELETE_USER", "delete_user": {"username": "admin"}}));
        assert_eq!(answer["message"], "admin access required");
    }
    // Reading is not an administrative act.
    bob.ask(&json!({"type": "GET_USER", "data": "admin"}));
    server.wait_for_log(&format!(
        "refused {} more administrative requests from users who are not administrators, most often from {} ({})",
        TRIES - 1,
        peer.ip(),
        TRIES - 1
    ));
    let log = server.log();
    let first = format!("WARN user admin not deleted by bob from {peer}: admin access required");
    assert!(log.contains(&first), "{log}");
    assert_eq!(log.matches("by bob from").count(), 1, "{log}");
}

#[test]
fn the_journal_has_them_under_an_id_of_their_own() {
    sandbox::enter(|_| {
        let server = Setup::new().journal().start();
        let mut admin = server.admin();
        act(&mut admin);
        server.wait_for_log("space s deleted by ");
        let log = server.log();
        let (_, id) =
            shibudb::logging::MESSAGE_IDS.iter().find(|(target, _)| *target == "shibudb::audit").unwrap();
        // The account admin, and what was done above.
        assert_eq!(log.matches(id).count(), 9, "{log}");
        for words in
            ["SHIBUDB_ACT", "rights_changed", "SHIBUDB_OBJECT", "SHIBUDB_USER", "SHIBUDB_PEER", "refused"]
        {
            assert!(log.contains(words), "{words}:\n{log}");
        }
    });
}
