//! `shibudb import`, with a directory as a ShibuDB server leaves it, written here byte by byte.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{MAX_WAIT, PASSWORD, Setup, shibudb, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rexpect::session::{Options, spawn_with_options};
use serde_json::{Value, json};
use shibudb::auth::{Accounts, HashCost};
use shibudb::import::{Report, Source, SourceError, SpaceReport, TornTail, import};
use shibudb::store::{Durability, OpenError, Store};
use tempfile::TempDir;

/// Cheap, for tests that are not about the cost.
const CHEAP: HashCost = HashCost { memory_kib: 8, passes: 1 };

/// Key and value are stored unchanged.
fn record(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let (key, value) = (key.as_ref(), value.as_ref());
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
    [&length(key), &length(value), key, value].concat()
}

/// A data directory of the old server.
struct Old {
    dir: TempDir,
}

impl Old {
    fn new(users: &Value, metadata: &Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("users.json"), users.to_string()).unwrap();
        fs::write(dir.path().join("metadata.json"), metadata.to_string()).unwrap();
        Self { dir }
    }

    fn with_data(self, space: &str, data: impl AsRef<[u8]>) -> Self {
        fs::create_dir(self.path().join(space)).unwrap();
        fs::write(self.path().join(space).join("data.db"), data).unwrap();
        self
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn bcrypt(password: &str) -> String {
    // As Go writes it.
    bcrypt::hash_with_result(password, 4).unwrap().format_for_version(bcrypt::Version::TwoA)
}

fn admin() -> Value {
    json!([{"username": "admin", "password": bcrypt(PASSWORD), "role": "admin", "permissions": null}])
}

/// The target of an import.
struct Target {
    dir: TempDir,
}

impl Target {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    async fn import(&self, old: &Old) -> Report {
        let (store, accounts) = self.open();
        import(Source::open(old.path()).unwrap(), &store, &accounts, |_| {}).await.unwrap()
    }

    fn open(&self) -> (Store, Accounts) {
        let store = open_store(self.dir.path());
        let accounts = Accounts::open(store.clone(), CHEAP).unwrap();
        (store, accounts)
    }

    fn value(&self, space: &str, key: &str) -> Option<String> {
        let (store, _) = self.open();
        let value = store.get(&store.space(space).unwrap(), key.as_bytes()).unwrap();
        value.map(|value| String::from_utf8_lossy(&value).into_owned())
    }
}

/// Opens a store that was just closed. A child process that another test starts at this moment inherits
/// the lock, like every open file of this process, and keeps it until its exec.
fn open_store(dir: &Path) -> Store {
    let mut store = None;
    wait_until("the store is free", || match Store::open(dir, Durability::Always) {
        Err(OpenError::InUse { .. }) => false,
        opened => {
            store = Some(opened.unwrap());
            true
        }
    });
    store.unwrap()
}

fn left_out(report: &Report) -> Vec<(&str, &str)> {
    report.left_out.iter().map(|left| (left.what.as_str(), left.why.as_str())).collect()
}

#[tokio::test]
async fn the_last_record_of_a_key_wins_and_an_empty_one_deletes() {
    let data = [
        record("a", "1"),
        record("b", "1"),
        record("a", "2"),
        record("b", ""),
        record("gone", ""),
        record("Grüße 大", "👩‍🚀"),
        record("", "of the empty key"),
    ];
    let old = Old::new(&admin(), &json!([{"name": "notes", "engine_type": "key-value"}]))
        .with_data("notes", data.concat());
    let new = Target::new();
    let report = new.import(&old).await;
    assert_eq!(
        report.spaces,
        [SpaceReport { name: "notes".into(), records: 5, deletions: 2, ..SpaceReport::default() }]
    );
    assert_eq!(new.value("notes", "a").as_deref(), Some("2"));
    assert_eq!(new.value("notes", "b"), None);
    assert_eq!(new.value("notes", "Grüße 大").as_deref(), Some("👩‍🚀"));
    assert_eq!(new.value("notes", "").as_deref(), Some("of the empty key"));
}

#[tokio::test]
async fn a_torn_tail_is_reported_and_skipped_wherever_it_is_torn() {
    let whole = [record("a", "1"), record("b", "2")].concat();
    let next = record("a", "never to be seen");
    for cut in 0..next.len() {
        let data = [&whole, &next[..cut]].concat();
        let old = Old::new(&admin(), &json!(["s"])).with_data("s", data);
        let new = Target::new();
        let report = new.import(&old).await;
        let torn = (cut > 0).then_some(TornTail { offset: whole.len() as u64, bytes: cut as u64 });
        assert_eq!((report.spaces[0].records, report.spaces[0].torn), (2, torn), "{cut}");
        assert_eq!(new.value("s", "a").as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn lengths_that_lead_nowhere_are_the_end() {
    let data = [record("a", "1"), vec![0xff; 100]].concat();
    let old = Old::new(&admin(), &json!(["s"])).with_data("s", data);
    let report = Target::new().import(&old).await;
    assert_eq!(report.spaces[0].torn, Some(TornTail { offset: 10, bytes: 100 }));
}

#[tokio::test]
async fn what_is_not_text_is_counted_and_nothing_old_takes_its_place() {
    let data = [
        record("key", "old"),
        record("key", b"\xff\xfe"),
        record(b"\xff", "nobody could ask for it"),
        record("x".repeat(70_000), "too long a key"),
    ];
    let old = Old::new(&admin(), &json!(["s"])).with_data("s", data.concat());
    let new = Target::new();
    let report = new.import(&old).await;
    let SpaceReport { records, not_text, skipped, .. } = report.spaces[0];
    assert_eq!((records, not_text, skipped), (2, 1, 2));
    assert_eq!(new.value("s", "key").as_deref(), Some("\u{fffd}\u{fffd}"));
}

#[tokio::test]
async fn spaces_come_in_every_shape() {
    for metadata in [
        json!(["kv"]),
        json!([{"name": "kv"}, {"name": "vec", "engine_type": "vector"}]),
        json!({"spaces": [{"Name": "kv", "EngineType": "key-value"}, {"Name": "vec", "EngineType": "vector"}]}),
        json!({"kv": {"engineType": "key-value"}, "vec": {"engine_type": "vector", "dimension": 3}}),
        json!({"spaces": {"kv": "key-value", "vec": "vector"}}),
    ] {
        let old =
            Old::new(&admin(), &metadata).with_data("kv", record("k", "v")).with_data("vec", "whatever");
        let new = Target::new();
        let report = new.import(&old).await;
        assert_eq!(new.value("kv", "k").as_deref(), Some("v"), "{metadata}");
        assert_eq!(new.open().0.spaces().len(), 1, "{metadata}");
        assert_eq!(left_out(&report)[0].0, "space \"vec\"", "{metadata}");
    }
}

#[tokio::test]
async fn what_is_left_out_is_listed() {
    let metadata = json!([
        {"name": "vec", "engine_type": "vector"},
        {"name": "graph", "engine_type": "graph"},
        {"name": "../evil"},
        {"engine_type": "key-value"},
        {"name": "empty"},
    ]);
    let users = json!([
        {"username": "admin", "password": bcrypt("x"), "role": "admin"},
        {"username": "plain", "password": "secret"},
        {"username": "costly", "password": bcrypt("x").replace("$04$", "$31$")},
        {"username": "bob", "password": bcrypt("x"), "permissions": {"empty": "own", "a/b": "read"}},
        "nonsense",
    ]);
    let old = Old::new(&users, &metadata).with_data("stranger", "");
    let report = Target::new().import(&old).await;
    assert_eq!(
        (report.users.as_slice(), report.spaces.len()),
        (&["admin".to_owned(), "bob".to_owned()][..], 1)
    );
    let no_hash = "its password is not a bcrypt hash with a cost of at most 16";
    assert_eq!(
        left_out(&report),
        [
            ("user \"plain\"", no_hash),
            ("user \"costly\"", no_hash),
            (
                "permission of user \"bob\" for space \"a/b\"",
                "space name must not contain / or \\ and must not be . or .."
            ),
            ("permission of user \"bob\" for space \"empty\"", "\"own\" is neither read nor write"),
            ("user \"number 5 of users.json\"", "it is not an object"),
            ("space \"vec\"", "vector spaces are not supported"),
            ("space \"graph\"", "unknown engine \"graph\""),
            ("space number 4 of metadata.json", "it has no name"),
            ("space \"../evil\"", "space name must not contain / or \\ and must not be . or .."),
            ("space \"stranger\"", "it has data, but metadata.json does not list it"),
        ]
    );
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Source::open(dir.path()).unwrap_err();
    assert!(matches!(open(), SourceError::NotShibuDb(_)));
    fs::write(dir.path().join("users.json"), "[{]").unwrap();
    assert!(open().to_string().contains("users.json: key must be a string at line 1"), "{}", open());
    fs::write(dir.path().join("users.json"), "3").unwrap();
    assert!(open().to_string().ends_with("expected a list of users, or an object of them by name"));
}

#[tokio::test]
async fn an_import_can_be_run_again() {
    let users = json!({"users": {
        "admin": {"Password": bcrypt(PASSWORD), "Role": "admin"},
        "bob": {"Password": bcrypt("old"), "Role": "user", "Permissions": {"s": "write"}},
    }});
    let old = Old::new(&users, &json!(["s"])).with_data("s", [record("a", "1"), record("b", "")].concat());
    let new = Target::new();
    assert_eq!(new.import(&old).await.users, ["admin", "bob"]);
    {
        let (_, accounts) = new.open();
        accounts.set_password("bob", "new").await.unwrap();
    }
    let report = new.import(&old).await;
    assert_eq!((report.users.len(), report.kept_users), (0, vec!["admin".to_owned(), "bob".to_owned()]));
    assert_eq!(new.value("s", "a").as_deref(), Some("1"));
    let (_, accounts) = new.open();
    let here = "127.0.0.1".parse().unwrap();
    accounts.login("bob", "new", here).await.unwrap();
    accounts.login("bob", "old", here).await.unwrap_err();
}

#[tokio::test]
async fn an_imported_hash_lets_in_and_is_renewed() {
    let old = Old::new(&admin(), &json!([]));
    let new = Target::new();
    new.import(&old).await;
    let here = "127.0.0.1".parse().unwrap();
    let stored = |store: &Store| String::from_utf8(store.system_entries().unwrap()[0].1.clone()).unwrap();
    let (store, accounts) = new.open();
    assert!(stored(&store).contains("$2a$04$"));
    accounts.login("admin", "wrong", here).await.unwrap_err();
    accounts.login("nobody", PASSWORD, here).await.unwrap_err();
    assert!(stored(&store).contains("$2a$04$"), "a refused login changes nothing");

    // Many at once, as after a restart.
    let logins = (0..20).map(|_| accounts.login("admin", PASSWORD, here));
    for login in futures_util::future::join_all(logins).await {
        login.unwrap();
    }
    assert!(stored(&store).contains("$argon2id$") && !stored(&store).contains("$2a$"), "{}", stored(&store));
    accounts.login("admin", PASSWORD, here).await.unwrap();
    accounts.login("admin", "wrong", here).await.unwrap_err();
    drop((store, accounts));
    new.open().1.login("admin", PASSWORD, here).await.unwrap();
}

#[tokio::test]
async fn a_password_longer_than_bcrypt_reads_stays_what_it_was() {
    let password = "x".repeat(80);
    let users = json!([{"username": "admin", "password": bcrypt(&password), "role": "admin"}]);
    let new = Target::new();
    new.import(&Old::new(&users, &json!([]))).await;
    let (_, accounts) = new.open();
    for _ in 0..2 {
        accounts.login("admin", &password, "127.0.0.1".parse().unwrap()).await.unwrap();
    }
}

/// `shibudb import`, with a separate home and config file.
fn command(old: &Old, data_dir: &Path) -> Command {
    let mut command = shibudb(data_dir, ["import"]);
    let config = data_dir.with_extension("toml");
    fs::write(&config, "# no settings\n").unwrap();
    command.arg(old.path()).arg("--config").arg(config).arg("--data-dir").arg(data_dir);
    command
}

#[test]
fn a_server_serves_what_was_imported() {
    let old =
        Old::new(&admin(), &json!({"notes": {"engine_type": "key-value"}, "v": {"engine_type": "vector"}}))
            .with_data("notes", [record("k", "v"), record("k", "w"), vec![1, 2, 3]].concat());
    let mut server = Setup::new().start();
    let refused = command(&old, &server.data_dir()).output().unwrap();
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(1), &b""[..]));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.starts_with("Error: a server is running on "), "{said}");
    // The server is ready before its first admin is stored; a login waits for that.
    drop(server.admin());
    assert!(server.stop().success());

    let output = command(&old, &server.data_dir()).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        out,
        "Import:\nSpaces: 1\nRecords: 2\nDeletions: 0\nSkipped Records: 0\nValues That Are Not Text: 0\n\
         Torn Tails: 1\nUsers: 0\nUsers Left Alone: 1\nLeft Out: 1\n\n\
         Spaces:\n  notes: 2 records, 0 deletions, torn tail of 3 bytes at offset 20 skipped\n\n\
         Users left alone, since there is one of that name:\n  admin\n\n\
         Left out:\n  space \"v\": vector spaces are not supported\n"
    );
    server.start_again();
    let mut admin = server.admin();
    let get = json!({"type": "GET", "space": "notes", "key": "k"});
    assert_eq!(admin.ask(&get), json!({"status": "OK", "value": "w"}));
}

/// Large enough to catch an import in progress; much of it appears twice.
fn large() -> Old {
    let many = |round: u32| {
        (0..100_000_u32).flat_map(move |n| record(format!("key {n}"), format!("{round} {}", "v".repeat(100))))
    };
    let last = record("key 7", "");
    let data: Vec<u8> = many(1).chain(many(2)).chain(last).collect();
    Old::new(&admin(), &json!(["first", "second"]))
        .with_data("first", record("k", "v"))
        .with_data("second", data)
}

/// Waits until a twentieth of the data has been imported.
fn wait_until_it_is_at_it(data_dir: &Path) {
    let journal = data_dir.join("store").join("1.jnl");
    let mut start = Vec::new();
    wait_until("the import is at it", || {
        start.clear();
        let file = File::open(&journal);
        file.is_ok_and(|file| file.take(4 << 20).read_to_end(&mut start).is_ok())
            && memchr::memmem::find(&start, b"key 9999").is_some()
    });
}

/// Pauses the import until it has taken long enough to report its progress.
fn hold_up(mut signal: impl FnMut(Signal), data_dir: &Path, begun: Instant) {
    wait_until_it_is_at_it(data_dir);
    signal(Signal::SIGSTOP);
    wait_until("it has taken more than a second", || begun.elapsed() > Duration::from_millis(1100));
    signal(Signal::SIGCONT);
}

#[test]
fn an_import_that_is_killed_is_done_by_the_next() {
    let old = large();
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");

    let mut child = command(&old, &data_dir).stdout(Stdio::null()).spawn().unwrap();
    wait_until_it_is_at_it(&data_dir);
    child.kill().unwrap();
    let killed = !child.wait().unwrap().success();
    assert!(killed, "it was done before it could be killed");

    assert!(command(&old, &data_dir).output().unwrap().status.success());
    let store = open_store(&data_dir);
    let space = store.space("second").unwrap();
    for n in 0..100_000_u32 {
        let value = store.get(&space, format!("key {n}").as_bytes()).unwrap();
        match n {
            7 => assert_eq!(value, None),
            _ => assert!(value.unwrap().starts_with(b"2 v"), "key {n}"),
        }
    }
}

#[test]
fn an_import_that_takes_its_time_says_how_far_it_is() {
    let old = large();
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");
    let mut command = command(&old, &data_dir);
    let begun = Instant::now();
    let import = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_raw(import.id().try_into().unwrap());
    hold_up(|signal| kill(pid, signal).unwrap(), &data_dir, begun);
    let output = import.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let line = said.lines().next().unwrap();
    assert!(line.contains(" MiB of 22.7 MiB imported, "), "{said}");
    assert!(line.ends_with(" s left, importing second"), "{said}");
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("Import:\nSpaces: 2\nRecords: 200001\n"));
}

#[test]
fn on_a_terminal_that_is_a_line_which_is_gone_at_the_end() {
    let old = large();
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");
    let mut command = command(&old, &data_dir);
    command.env("TERM", "xterm");
    let max_wait = u64::try_from(MAX_WAIT.as_millis()).unwrap();
    let begun = Instant::now();
    let mut terminal = spawn_with_options(command, Options::new().timeout_ms(Some(max_wait))).unwrap();
    hold_up(|signal| terminal.process_mut().signal(signal).unwrap(), &data_dir, begun);
    let before = terminal.exp_string("left  second").unwrap();
    assert!(before.contains("/22.68 MiB"), "{before}");
    terminal.exp_string("\u{1b}[2K").unwrap();
    let after = terminal.exp_eof().unwrap();
    let (_, after) = after.rsplit_once("\u{1b}[2K").unwrap_or(("", &after));
    assert!(after.trim_start().starts_with("Import:\r\nSpaces: 2\r\n"), "{after:?}");
}

#[test]
fn what_is_soon_done_says_nothing_but_its_result() {
    let old = Old::new(&admin(), &json!(["s"])).with_data("s", record("k", "v"));
    let home = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let output = command(&old, &home.path().join("data")).output().unwrap();
    assert!(output.status.success());
    // On a busy machine the import may report progress.
    if begun.elapsed() < Duration::from_secs(1) {
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    }
}

#[test]
fn without_an_admin_among_the_users_there_is_one_all_the_same() {
    let users = json!([{"username": "bob", "password": bcrypt("x"), "role": "user"}]);
    let old = Old::new(&users, &json!([]));
    let home = tempfile::tempdir().unwrap();
    let data_dir = home.path().join("data");
    let output = command(&old, &data_dir).output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("No user was an admin: made admin, with the password in "), "{out}");
    assert!(data_dir.join("initial-admin-password").is_file());
}
