//! The guarantees of the accounts: which logins succeed, what they cost, and which changes are permitted.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use shibudb::auth::{
    AccountError, Accounts, FirstAdmin, FirstAdminError, HashCost, LoginError, MAX_PASSWORD_LEN, NewUser,
    Permission, Role,
};
use shibudb::store::{Durability, Store};
use tempfile::TempDir;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// How many logins may wait for a hash.
const MOST_LOGINS: u32 = 1024;

/// Cheap, for tests that are not about the cost.
const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1 };

fn open(dir: &Path, cost: HashCost) -> (Store, Accounts) {
    let store = Store::open(dir, Durability::Always).unwrap();
    let accounts = Accounts::open(store.clone(), cost).unwrap();
    (store, accounts)
}

fn fresh(cost: HashCost) -> (TempDir, Accounts) {
    let dir = tempfile::tempdir().unwrap();
    let (_, accounts) = open(dir.path(), cost);
    (dir, accounts)
}

fn user(username: &str, password: &str, role: Role) -> NewUser {
    NewUser { username: username.into(), password: password.into(), role, permissions: BTreeMap::new() }
}

async fn with_admin_and_user() -> (TempDir, Accounts) {
    let (dir, accounts) = fresh(CHEAP);
    accounts.create(user("admin", "secret", Role::Admin)).await.unwrap();
    accounts.create(user("u", "pass", Role::User)).await.unwrap();
    (dir, accounts)
}

#[tokio::test]
async fn the_right_password_and_only_that_gets_in() {
    let (_dir, accounts) = with_admin_and_user().await;
    let account = accounts.login("u", "pass", HERE).await.unwrap();
    assert_eq!((account.username.as_str(), account.role), ("u", Role::User));
    // Again, now the cheap way.
    accounts.login("u", "pass", HERE).await.unwrap();
    for (username, password) in [("u", "Pass"), ("u", ""), ("u", "secret"), ("nobody", "pass"), ("", "")] {
        let refused = accounts.login(username, password, HERE).await.unwrap_err();
        assert_eq!((refused, refused.to_string().as_str()), (LoginError::Denied, "authentication failed"));
    }
}

#[tokio::test]
async fn users_survive_a_restart_and_no_password_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let permissions =
        BTreeMap::from([("a".to_owned(), Permission::Read), ("b".to_owned(), Permission::Write)]);
    let (name, password) = ("Jürgen 大 👩 \"quoted\"", "pässwörd\n\0🔑");
    {
        let (store, accounts) = open(dir.path(), CHEAP);
        let new = NewUser { permissions: permissions.clone(), ..user(name, password, Role::User) };
        assert!(!format!("{new:?}").contains("🔑"));
        accounts.create(new).await.unwrap();
        let entries = store.system_entries().unwrap();
        let stored = String::from_utf8_lossy(&entries[0].1).into_owned();
        assert!(stored.contains("$argon2id$v=19$m=8,t=1,p=1$"), "{stored}");
        assert!(!stored.contains("🔑"), "{stored}");
    }
    let (_, accounts) = open(dir.path(), CHEAP);
    let account = accounts.login(name, password, HERE).await.unwrap();
    assert_eq!(account.permissions, permissions);
}

#[tokio::test]
async fn permissions_say_what_may_be_done() {
    let (_dir, accounts) = with_admin_and_user().await;
    let permissions =
        BTreeMap::from([("r".to_owned(), Permission::Read), ("w".to_owned(), Permission::Write)]);
    accounts.set_permissions("u", permissions).await.unwrap();
    let account = accounts.account("u").unwrap();
    let rights = |space| (account.may_read(space), account.may_write(space));
    assert_eq!((rights("r"), rights("w"), rights("x")), ((true, false), (true, true), (false, false)));
    assert!(!account.is_admin());
    let admin = accounts.account("admin").unwrap();
    assert!(admin.is_admin() && admin.may_read("x") && admin.may_write("x"));
}

#[tokio::test]
async fn every_change_moves_the_generation_and_a_refused_one_does_not() {
    let (_dir, accounts) = with_admin_and_user().await;
    let mut last = accounts.generation();
    let mut moved = || {
        let now = accounts.generation();
        std::mem::replace(&mut last, now) < now
    };
    accounts.set_role("u", Role::Admin).await.unwrap();
    assert!(moved());
    accounts.set_permissions("u", BTreeMap::new()).await.unwrap();
    assert!(moved());
    accounts.set_password("u", "new").await.unwrap();
    assert!(moved());
    accounts.delete("u").await.unwrap();
    assert!(moved());
    accounts.delete("u").await.unwrap_err();
    accounts.login("admin", "secret", HERE).await.unwrap();
    assert!(!moved());
}

#[tokio::test]
async fn a_changed_password_counts_from_the_next_login() {
    let (_dir, accounts) = with_admin_and_user().await;
    accounts.login("u", "pass", HERE).await.unwrap();
    accounts.set_password("u", "new").await.unwrap();
    accounts.login("u", "pass", HERE).await.unwrap_err();
    accounts.login("u", "new", HERE).await.unwrap();
}

#[tokio::test]
async fn a_deleted_user_is_gone_and_may_be_made_anew() {
    let (_dir, accounts) = with_admin_and_user().await;
    accounts.login("u", "pass", HERE).await.unwrap();
    accounts.delete("u").await.unwrap();
    assert!(accounts.account("u").is_none());
    accounts.login("u", "pass", HERE).await.unwrap_err();
    accounts.create(user("u", "other", Role::User)).await.unwrap();
    accounts.login("u", "pass", HERE).await.unwrap_err();
    accounts.login("u", "other", HERE).await.unwrap();
}

#[tokio::test]
async fn refusals_speak_the_documented_words() {
    let (_dir, accounts) = with_admin_and_user().await;
    let exists = accounts.create(user("u", "x", Role::User)).await.unwrap_err();
    assert_eq!(exists.to_string(), "user already exists");
    for missing in [
        accounts.set_password("x", "y").await,
        accounts.set_role("x", Role::Admin).await,
        accounts.set_permissions("x", BTreeMap::new()).await,
        accounts.delete("x").await,
    ] {
        assert_eq!(missing.unwrap_err().to_string(), "user not found");
    }
    for (username, password, words) in [
        ("", "p", "user name must not be empty"),
        (&"ä".repeat(128), "p", "user name must not exceed 255 bytes"),
        ("a\nb", "p", "user name must consist of visible characters"),
        ("a\u{202e}b", "p", "user name must consist of visible characters"),
        ("a\u{200b}", "p", "user name must consist of visible characters"),
        ("a ", "p", "user name must not start or end with white space"),
        ("\u{430}dmin", "p", "user name can be mistaken for \"admin\", which exists"),
        ("v", "", "password must not be empty"),
        ("v", &"p".repeat(1025), "password must not exceed 1024 bytes"),
    ] {
        let refused = accounts.create(user(username, password, Role::User)).await.unwrap_err();
        assert_eq!(refused.to_string(), words);
    }
    let permissions = BTreeMap::from([("../x".to_owned(), Permission::Read)]);
    let refused = accounts.set_permissions("u", permissions).await.unwrap_err();
    assert_eq!(refused.to_string(), "permissions must name spaces that can exist");
}

#[tokio::test]
async fn the_last_admin_stays() {
    let (_dir, accounts) = with_admin_and_user().await;
    for refused in [accounts.delete("admin").await, accounts.set_role("admin", Role::User).await] {
        assert!(matches!(refused, Err(AccountError::LastAdmin)));
    }
    accounts.set_role("admin", Role::Admin).await.unwrap();
    accounts.set_role("u", Role::Admin).await.unwrap();
    // Two admins try to remove each other: one succeeds.
    let (one, other) = tokio::join!(accounts.delete("admin"), accounts.delete("u"));
    assert!(one.is_ok() != other.is_ok());
}

#[tokio::test]
async fn of_two_who_create_one_user_one_succeeds() {
    let (_dir, accounts) = fresh(CHEAP);
    let (one, other) = tokio::join!(
        accounts.create(user("u", "1", Role::User)),
        accounts.create(user("u", "2", Role::User))
    );
    assert!(one.is_ok() != other.is_ok());
}

#[tokio::test]
async fn a_stampede_of_one_user_costs_one_hash() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (_, accounts) = open(dir.path(), HashCost::default());
        accounts.create(user("u", "pass", Role::User)).await.unwrap();
    }
    // If each login had to wait for a hash, most would be refused.
    let (_, accounts) = open(dir.path(), HashCost::default());
    let logins: Vec<_> = (0..MOST_LOGINS * 2)
        .map(|_| {
            let accounts = accounts.clone();
            tokio::spawn(async move { accounts.login("u", "pass", HERE).await.is_ok() })
        })
        .collect();
    for login in logins {
        assert!(login.await.unwrap());
    }
}

#[tokio::test]
async fn the_second_login_is_cheap_and_a_wrong_password_never_is() {
    let (_dir, accounts) = fresh(HashCost::default());
    accounts.create(user("u", "pass", Role::User)).await.unwrap();
    accounts.login("u", "pass", HERE).await.unwrap();
    // They wait for hashes, one after another.
    let guesses: Vec<_> = (0..1000)
        .map(|number| {
            let accounts = accounts.clone();
            let peer = Ipv4Addr::from_bits(0x0a00_0000 + number).into();
            tokio::spawn(async move { accounts.login(&format!("nobody {number}"), "guess", peer).await })
        })
        .collect();
    tokio::task::yield_now().await;
    accounts.login("u", "pass", HERE).await.unwrap();
    let waits = guesses.iter().filter(|guess| !guess.is_finished()).count();
    assert!(waits > 0, "the login has waited behind all of them");
    guesses.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn the_time_of_a_refusal_does_not_tell_whether_the_user_exists() {
    let (_dir, accounts) = fresh(HashCost::default());
    accounts.create(user("u", "pass", Role::User)).await.unwrap();
    // A busy machine may disturb a measurement, but it does not make refusals fast repeatedly.
    let mut measured = Vec::new();
    for _ in 0..20 {
        let known = fastest(&accounts, "u", "wrong").await;
        let unknown = fastest(&accounts, "nobody", "wrong").await;
        if (0.7..1.4).contains(&(known.as_secs_f64() / unknown.as_secs_f64())) {
            return;
        }
        measured.push((known, unknown));
    }
    panic!("{measured:?}");
}

/// The shortest of a few logins, each from a different address.
async fn fastest(accounts: &Accounts, username: &str, password: &str) -> Duration {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let peer = Ipv4Addr::from_bits(NEXT.fetch_add(1, Ordering::Relaxed));
        let start = Instant::now();
        drop(accounts.login(username, password, peer.into()).await);
        fastest = fastest.min(start.elapsed());
    }
    fastest
}

#[tokio::test(start_paused = true)]
async fn who_guesses_is_slowed_and_nobody_else() {
    let (_dir, accounts) = with_admin_and_user().await;
    accounts.login("u", "pass", HERE).await.unwrap();
    // The clock is paused: waits end at once, but count.
    let start = tokio::time::Instant::now();
    for guess in 0..20 {
        accounts.login("u", &format!("guess {guess}"), HERE).await.unwrap_err();
    }
    assert!(start.elapsed() > Duration::from_secs(5), "{:?}", start.elapsed());

    let start = tokio::time::Instant::now();
    accounts.login("u", "pass", HERE).await.unwrap();
    accounts.login("admin", "secret", ELSEWHERE).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(50), "{:?}", start.elapsed());
}

/// Five programs keep sending old passwords, one of them for a user that does not exist.
#[tokio::test(start_paused = true)]
async fn old_passwords_deny_nobody_behind_their_address_the_right_one() {
    let (_dir, accounts) = with_admin_and_user().await;
    accounts.create(user("v", "right", Role::User)).await.unwrap();
    let programs: Vec<_> = ["u", "u", "u", "admin", "nobody"]
        .into_iter()
        .enumerate()
        .map(|(number, username)| {
            let accounts = accounts.clone();
            tokio::spawn(async move {
                loop {
                    let password = format!("old {number}");
                    let refused = accounts.login(username, &password, HERE).await.unwrap_err();
                    assert_eq!(refused, LoginError::Denied);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(120)).await;
    for (username, password) in [("v", "right"), ("u", "pass"), ("admin", "secret")] {
        let start = tokio::time::Instant::now();
        accounts.login(username, password, HERE).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(10), "{username}: {:?}", start.elapsed());
    }
    for program in programs {
        program.abort();
        assert!(program.await.is_err_and(|error| error.is_cancelled()));
    }
}

#[tokio::test]
async fn of_many_guesses_at_once_only_the_free_ones_are_looked_at() {
    let (_dir, accounts) = with_admin_and_user().await;
    let guesses: Vec<_> = (0..250)
        .map(|guess| {
            let accounts = accounts.clone();
            tokio::spawn(async move { accounts.login("u", &format!("guess {guess}"), HERE).await })
        })
        .collect();
    let mut busy = 0;
    for guess in guesses {
        match guess.await.unwrap() {
            Err(LoginError::Busy) => busy += 1,
            refused => assert_eq!(refused.unwrap_err(), LoginError::Denied),
        }
    }
    assert!(busy >= 200, "only {busy} were not looked at");
}

#[tokio::test]
async fn an_administrator_does_not_queue_behind_strangers() {
    const STRANGERS: u32 = 400;
    let (_dir, accounts) = fresh(HashCost::default());
    accounts.create(user("admin", "secret", Role::Admin)).await.unwrap();
    let checked = std::sync::Arc::new(AtomicU32::new(0));
    let strangers: Vec<_> = (0..STRANGERS)
        .map(|number| {
            let (accounts, checked) = (accounts.clone(), std::sync::Arc::clone(&checked));
            tokio::spawn(async move {
                let address = Ipv4Addr::from_bits(number).into();
                accounts.login("nobody", &number.to_string(), address).await.unwrap_err();
                checked.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    // All of them are queued before the administrator.
    tokio::task::yield_now().await;
    accounts.create(user("u", "pass", Role::User)).await.unwrap();
    let before = checked.load(Ordering::Relaxed);
    assert!(before < STRANGERS / 4, "{before} strangers were first");
    for stranger in strangers {
        stranger.abort();
    }
}

#[tokio::test]
async fn the_first_admin_has_the_password_that_was_given() {
    let (dir, accounts) = fresh(CHEAP);
    assert!(accounts.is_empty());
    assert_eq!(accounts.ensure_admin(Some("given"), dir.path()).await.unwrap(), FirstAdmin::Given);
    assert!(accounts.login("admin", "given", HERE).await.unwrap().is_admin());
    assert_eq!(accounts.ensure_admin(Some("other"), dir.path()).await.unwrap(), FirstAdmin::NotNeeded);
    accounts.login("admin", "other", HERE).await.unwrap_err();
    assert!(!dir.path().join("initial-admin-password").exists());
}

#[tokio::test]
async fn the_first_admin_has_a_random_password_in_a_file_of_its_own() {
    let (dir, accounts) = fresh(CHEAP);
    let path = dir.path().join("initial-admin-password");
    // Left by a start that crashed before it created the account.
    std::fs::write(&path, "stale").unwrap();
    assert_eq!(accounts.ensure_admin(None, dir.path()).await.unwrap(), FirstAdmin::Written(path.clone()));
    assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    let password = std::fs::read_to_string(&path).unwrap();
    assert_eq!(password.trim_end().len(), 26);
    accounts.login("admin", password.trim_end(), HERE).await.unwrap();
    assert_eq!(accounts.ensure_admin(None, dir.path()).await.unwrap(), FirstAdmin::NotNeeded);
}

#[tokio::test]
async fn without_a_place_for_its_password_there_is_no_first_admin() {
    let (dir, accounts) = fresh(CHEAP);
    assert!(accounts.ensure_admin(None, &dir.path().join("missing")).await.is_err());
    assert!(accounts.is_empty());
}

#[tokio::test]
async fn logins_wait_for_a_first_admin_that_is_being_created() {
    let (dir, accounts) = fresh(CHEAP);
    let prepared = accounts.prepare_admin(Some("given"), dir.path()).await.unwrap().unwrap();
    assert!(!format!("{prepared:?}").contains("given"));
    let mut login = Box::pin(accounts.login("admin", "given", HERE));
    assert!(futures_util::poll!(&mut login).is_pending(), "it is too early to say no");
    assert_eq!(prepared.create().await.unwrap(), FirstAdmin::Given);
    assert!(login.await.unwrap().is_admin());

    // If the account will never exist, logins fail as before.
    let (dir, accounts) = fresh(CHEAP);
    drop(accounts.prepare_admin(Some("given"), dir.path()).await.unwrap().unwrap());
    accounts.login("admin", "given", HERE).await.unwrap_err();
}

#[tokio::test]
async fn an_impossible_password_is_refused_before_anything_waits() {
    let (dir, accounts) = fresh(CHEAP);
    let endless = "x".repeat(MAX_PASSWORD_LEN + 1);
    accounts.prepare_admin(Some(&endless), dir.path()).await.unwrap_err();
}

/// From a version without this rule, or from an import.
#[tokio::test]
async fn an_account_with_a_name_that_none_would_get_today_goes_on_working() {
    let dir = tempfile::tempdir().unwrap();
    let old = "u\u{202e}\n ";
    {
        let (store, accounts) = open(dir.path(), CHEAP);
        accounts.create(user("admin", "secret", Role::Admin)).await.unwrap();
        accounts.create(user("u", "pass", Role::User)).await.unwrap();
        let (_, record) =
            store.system_entries().unwrap().into_iter().find(|(key, _)| key.ends_with(b"/u")).unwrap();
        let renamed = String::from_utf8(record).unwrap();
        let permissions = r#""permissions":{"s\u202e":"read"}"#;
        let renamed = renamed.replace(r#""permissions":{}"#, permissions);
        store.system_put(format!("user/{old}").as_bytes(), renamed.into_bytes()).await.unwrap();
    }
    let (_store, accounts) = open(dir.path(), CHEAP);
    assert_eq!(accounts.login(old, "pass", HERE).await.unwrap().username, old);
    let mut permissions = accounts.account(old).unwrap().permissions.clone();
    assert!(permissions.contains_key("s\u{202e}"));
    permissions.insert("t".to_owned(), Permission::Write);
    accounts.set_permissions(old, permissions).await.unwrap();
    accounts.set_password(old, "other").await.unwrap();
    accounts.set_role(old, Role::Admin).await.unwrap();
    accounts.login(old, "other", HERE).await.unwrap();
    assert_eq!(
        accounts.create(user(old, "x", Role::User)).await.unwrap_err().to_string(),
        "user name must consist of visible characters"
    );
    accounts.delete(old).await.unwrap();
}

#[tokio::test]
async fn where_there_was_an_administrator_no_other_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let (store, accounts) = open(dir.path(), CHEAP);
    accounts.ensure_admin(Some("secret"), dir.path()).await.unwrap();
    // As if its record had been lost.
    let (key, _) = store.system_entries().unwrap().pop().unwrap();
    store.system_delete(&key).await.unwrap();
    drop(accounts);
    store.close().unwrap();
    let (_store, accounts) = open(dir.path(), CHEAP);
    let error = accounts.ensure_admin(Some("another"), dir.path()).await.unwrap_err();
    assert!(matches!(error, FirstAdminError::AccountsGone { .. }), "{error}");
    assert!(error.to_string().contains(dir.path().to_str().unwrap()), "{error}");
    assert!(accounts.is_empty());
}

#[tokio::test]
async fn rights_to_a_space_end_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, accounts) = open(dir.path(), CHEAP);
    for name in ["a", "b"] {
        accounts.create_space(name, true).await.unwrap();
    }
    let permissions = BTreeMap::from([("a".into(), Permission::Write), ("b".into(), Permission::Read)]);
    accounts.create(NewUser { permissions, ..user("u", "p", Role::User) }).await.unwrap();
    accounts.login("u", "p", HERE).await.unwrap();
    let (before, generation) = (store.commits(), accounts.generation());
    accounts.delete_space("a").await.unwrap();
    assert_eq!(store.commits(), before + 1, "one commit, so that no crash comes in between");
    assert!(accounts.generation() > generation, "open sessions hear of it");
    assert!(accounts.known_login("u", "p").is_some(), "nobody's login costs more for that");
    accounts.create_space("a", true).await.unwrap();
    let may = |accounts: &Accounts| {
        let account = accounts.account("u").unwrap();
        [account.may_read("a"), account.may_write("a"), account.may_read("b")]
    };
    assert_eq!(may(&accounts), [false, false, true]);
    drop(accounts);
    store.close().unwrap();
    let (store, accounts) = open(dir.path(), CHEAP);
    assert_eq!(may(&accounts), [false, false, true]);

    // A refused deletion changes nothing.
    assert!(accounts.delete_space("never there").await.is_err());
    // Rights given in advance take effect when the space is created.
    let permissions = BTreeMap::from([("later".into(), Permission::Read)]);
    accounts.set_permissions("u", permissions).await.unwrap();
    accounts.create_space("later", true).await.unwrap();
    assert!(accounts.account("u").unwrap().may_read("later") && store.space("later").is_some());
}
