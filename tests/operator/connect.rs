//! `shibudb connect`, by script and interactively: a pseudo-terminal types and reads as a user would.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::harness::{MAX_WAIT, PASSWORD, Server, Setup, shibudb};
use rexpect::session::{Options, PtySession, spawn_with_options};
use tempfile::TempDir;

const LEFT: &str = "\x1b[D";

/// The results of a run: standard output, standard error, status.
type Ran = (String, String, Option<i32>);

fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.code())
}

/// Runs a script as the admin.
#[track_caller]
fn script(server: &Server, script: impl AsRef<[u8]>) -> Ran {
    script_as(server, &[], Some(PASSWORD), script)
}

fn script_as(server: &Server, words: &[&str], password: Option<&str>, script: impl AsRef<[u8]>) -> Ran {
    script_at(server.port(), words, password, script)
}

fn script_at(port: u16, words: &[&str], password: Option<&str>, script: impl AsRef<[u8]>) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let port = port.to_string();
    let mut command = shibudb(home.path(), ["connect", &port]);
    command.args(words).envs(password.map(|password| ("SHIBUDB_PASSWORD", password)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The process may have ended already, and then the write fails.
    child.stdin.take().unwrap().write_all(script.as_ref()).ok();
    ran(child.wait_with_output().unwrap())
}

#[track_caller]
fn fails(ran: Ran, error: &str) {
    let (out, err, status) = ran;
    assert_eq!((out.as_str(), status), ("", Some(1)), "{err}");
    assert_eq!(err, format!("Error: {error}\n"));
}

#[test]
fn a_script_prints_values_and_messages_and_nothing_else() {
    let server = Setup::new().start();
    let (out, err, status) = script(
        &server,
        "# a comment, don't mind\n\
         create-space notes\n\
         create-space --no-wal fast\n\
         \n\
         list-spaces\n\
         use notes   # and another\n\
         put greeting 'Hello, world'\n\
         get greeting\n\
         delete greeting\n\
         delete-space fast\n\
         create-user bob 'his password' --permission notes=read\n\
         update-user-role bob admin\n\
         update-user-role bob user\n\
         update-user-permissions bob notes=write\n\
         update-user-password bob 'another one'\n\
         get-user bob\n\
         update-user-permissions bob --none\n\
         delete-user bob",
    );
    assert_eq!((err.as_str(), status), ("", Some(0)));
    assert_eq!(
        out,
        "SPACE_CREATED\nSPACE_CREATED\nfast\nnotes\nSPACE_CHANGED\nOK\nHello, world\nDELETED\nSPACE_DELETED\n\
         USER_CREATED\nUSER_ROLE_UPDATED\nUSER_ROLE_UPDATED\nUSER_ROLE_UPDATED\nUSER_PASSWORD_UPDATED\n\
         Username: bob | Role: user | Permissions: notes=write\nUSER_ROLE_UPDATED\nUSER_DELETED\n"
    );
}

#[test]
fn values_come_back_as_they_were_written() {
    let server = Setup::new().start();
    let begin = "create-space 'my notes'\nuse 'my notes'\n";
    for (typed, value) in [
        ("plain", "plain"),
        ("''", ""),
        ("-5", "-5"),
        ("--no-wal", "--no-wal"),
        (r#"'{"a": [1, "b"]}'"#, r#"{"a": [1, "b"]}"#),
        (r#""it's \"quoted\" and \\""#, r#"it's "quoted" and \"#),
        (r"back\ slash", "back slash"),
        ("'two\nlines # no comment\n\nand a third'", "two\nlines # no comment\n\nand a third"),
        ("go\\\nes-on", "goes-on"),
        ("'Grüße, 大 👩‍🚀'", "Grüße, 大 👩‍🚀"),
        ("'\t tabs \u{1b} \u{0} '", "\t tabs \u{1b} \u{0} "),
        ("a#b", "a#b"),
    ] {
        let (out, err, status) =
            script(&server, format!("{begin}put k {typed}\nget k\ndelete-space 'my notes'"));
        assert_eq!((err.as_str(), status), ("", Some(0)), "{typed}");
        assert_eq!(out, format!("SPACE_CREATED\nSPACE_CHANGED\nOK\n{value}\nSPACE_DELETED\n"), "{typed}");
    }
}

#[test]
fn a_script_stops_at_the_first_error_and_names_its_line() {
    let server = Setup::new().start();
    let (out, err, status) = script(&server, "list-spaces\n\nuse nowhere\ncreate-space never\n");
    assert_eq!((out.as_str(), err.as_str(), status), ("", "Error: line 3: space not found\n", Some(1)));
    assert_eq!(script(&server, "list-spaces").0, "");

    fails(
        script(&server, "# one\nget k"),
        "line 2: no space selected: choose one with `use SPACE`; `list-spaces` lists them",
    );
    fails(script(&server, "\n\nput 'k\nv"), "line 3: unclosed quote");
    fails(script(&server, b"use \xff"), "line 1: this is not UTF-8");
    fails(
        script(&server, "create-user bob"),
        "line 1: missing password: in a script, give it after the user name",
    );
    for (line, words) in
        [("get", "required"), ("frobnicate", "unknown command"), ("update-user-role bob king", "king")]
    {
        let (out, err, status) = script(&server, line);
        assert_eq!((out.as_str(), status), ("", Some(1)));
        assert!(err.starts_with("Error: line 1: ") && err.contains(words), "{err}");
    }
}

#[test]
fn a_mistyped_password_is_not_repeated() {
    let server = Setup::new().start();
    let (_, err, _) = script(&server, "update-user-password bob my secret");
    assert_eq!(err, "Error: line 1: wrong arguments; see `help update-user-password`\n");
}

#[test]
fn exit_ends_a_script() {
    let server = Setup::new().start();
    for word in ["exit", "quit"] {
        let (out, err, status) = script(&server, format!("{word}\nuse nowhere\n"));
        assert_eq!((out.as_str(), err.as_str(), status), ("", "", Some(0)));
    }
}

#[test]
fn help_tells_what_there_is() {
    let server = Setup::new().start();
    let (out, _, _) = script(&server, "help");
    for command in [
        "use",
        "put",
        "get",
        "delete",
        "create-space",
        "delete-space",
        "list-spaces",
        "create-user",
        "update-user-password",
        "update-user-role",
        "update-user-permissions",
        "delete-user",
        "get-user",
        "help",
        "exit",
    ] {
        assert!(out.lines().any(|line| line.split_whitespace().next() == Some(command)), "{command}:\n{out}");
    }
    let (out, _, _) = script(&server, "help put");
    assert!(out.contains("Usage: put <KEY> <VALUE>"), "{out}");
}

#[test]
fn what_is_wrong_with_a_connection_is_said_clearly() {
    let server = Setup::new().limit(1).start();
    fails(script_as(&server, &[], Some("wrong"), ""), "authentication failed");
    // The refused client reads its answer a moment before its connection is no longer counted.
    server.wait_until_active(0);
    let holder = server.admin();
    fails(script(&server, ""), "Server at maximum capacity (1 connections). Please try again later.");
    drop(holder);

    let (out, err, status) = script_as(&server, &[], None, "");
    assert_eq!((out.as_str(), status), ("", Some(2)));
    assert_eq!(
        err,
        "Error: no password: standard input is not a terminal, and SHIBUDB_PASSWORD is not set\n"
    );

    let home = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let mut absent = shibudb(home.path(), ["connect", &free]);
    let absent = ran(absent.env("SHIBUDB_PASSWORD", "x").stdin(Stdio::null()).output().unwrap());
    fails(absent, &format!("cannot connect to 127.0.0.1:{free}: connection refused"));
}

#[test]
fn a_user_with_a_name_logs_in() {
    let server = Setup::new().start();
    script(&server, "create-space notes\ncreate-user 'Jürgen 大' 'pässwort' --permission notes=read");
    let (out, err, status) = script_as(
        &server,
        &["--user", "Jürgen 大", "--host", "localhost"],
        Some("pässwort"),
        "list-spaces\nuse notes\nput k v\n",
    );
    assert_eq!((out.as_str(), status), ("notes\nSPACE_CHANGED\n", Some(1)));
    assert_eq!(err, "Error: line 3: write permission denied\n");
}

/// A person at a terminal.
struct Person {
    terminal: PtySession,
    home: TempDir,
}

impl Person {
    /// Runs the client and logs in by typing the password.
    fn new(server: &Server) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { terminal: Self::terminal(server, home.path()), home }.logged_in()
    }

    /// The same user, later.
    fn again(mut self, server: &Server) -> Self {
        self.leave();
        Self { terminal: Self::terminal(server, self.home.path()), ..self }.logged_in()
    }

    fn terminal(server: &Server, home: &Path) -> PtySession {
        let port = server.port().to_string();
        let mut command = shibudb(home, ["connect", &port]);
        command.env("TERM", "xterm");
        let max_wait = u64::try_from(MAX_WAIT.as_millis()).unwrap();
        let options = Options::new().timeout_ms(Some(max_wait)).strip_ansi_escape_codes(true);
        spawn_with_options(command, options).unwrap()
    }

    #[track_caller]
    fn logged_in(mut self) -> Self {
        self.reads("Password of admin: ");
        self.types(&format!("{PASSWORD}\r"));
        let shown = self.reads("Logged in as admin.");
        assert!(!shown.contains(PASSWORD), "{shown}");
        self.reads("shibudb> ");
        self
    }

    fn types(&mut self, keys: &str) {
        self.terminal.send(keys).unwrap();
        self.terminal.flush().unwrap();
    }

    /// Waits until `text` is shown, and returns the output before it.
    #[track_caller]
    fn reads(&mut self, text: &str) -> String {
        self.terminal.exp_string(text).unwrap()
    }

    /// Types a command and waits for its result, and for the next prompt after it.
    #[track_caller]
    fn does(&mut self, command: &str, result: &str, prompt: &str) {
        self.types(&format!("{command}\r"));
        self.reads(&format!("\n{result}"));
        self.reads(prompt);
    }

    #[track_caller]
    fn leave(&mut self) {
        self.types("\x04");
        self.terminal.exp_eof().unwrap();
        let status = self.terminal.process().wait().unwrap();
        assert!(format!("{status:?}").contains("Exited"), "{status:?}");
    }

    fn history(&self) -> std::path::PathBuf {
        self.home.path().join("state/shibudb/connect-history")
    }
}

#[test]
fn a_person_works_at_a_terminal() {
    let server = Setup::new().start();
    let mut person = Person::new(&server);
    person.does("create-space notes", "SPACE_CREATED", "shibudb> ");
    person.does("use notes", "SPACE_CHANGED", "shibudb/notes> ");
    person.does("put k 'a value'", "OK", "shibudb/notes> ");
    // Edited: the cursor goes back over the last two letters.
    person.does(&format!("et k{}g", LEFT.repeat(4)), "a value", "shibudb/notes> ");
    // An error is reported, and the session continues.
    person.does("get nothing", "Error: key not found", "shibudb/notes> ");
    person.does("frobnicate", "Error: unknown command 'frobnicate'", "shibudb/notes> ");
    // A quote can span lines; Ctrl-C discards the input.
    person.types("put k 'one\r");
    person.does("two'", "OK", "shibudb/notes> ");
    person.does("get k", "one\r\ntwo", "shibudb/notes> ");
    person.types("put k never\x03");
    person.reads("shibudb/notes> ");
    person.does("delete k", "DELETED", "shibudb/notes> ");
    person.types("exit\r");
    person.terminal.exp_eof().unwrap();
}

#[test]
fn tab_completes_commands_spaces_and_words() {
    let server = Setup::new().start();
    let mut person = Person::new(&server);
    person.does("create-sp\tnotes", "SPACE_CREATED", "shibudb> ");
    person.does("create-space 'two words'", "SPACE_CREATED", "shibudb> ");
    person.does("use no\t", "SPACE_CHANGED", "shibudb/notes> ");
    person.does("use tw\t", "SPACE_CHANGED", "shibudb/two words> ");
    person.types("create-user bob --permission notes=w\t--ro\tad\t\r");
    person.reads("New password for bob: ");
    person.types("geheim\r");
    person.reads("Repeat the new password for bob: ");
    person.types("geheim\r");
    person.reads("USER_CREATED");
    person.reads("shibudb/two words> ");
    person.does(
        "get-user bob",
        "Username: bob | Role: admin | Permissions: notes=write",
        "shibudb/two words> ",
    );
}

#[test]
fn the_history_is_kept_without_passwords_and_for_the_owner_alone() {
    let server = Setup::new().start();
    let mut person = Person::new(&server);
    person.does("create-space notes", "SPACE_CREATED", "shibudb> ");
    person.does("create-user bob secret-one", "USER_CREATED", "shibudb> ");
    person.does("creat-user eve secret-two", "Error: unknown command", "shibudb> ");
    person.types("update-user-password bob\r");
    person.reads("New password for bob: ");
    person.types("secret-three\r");
    person.reads("Repeat the new password for bob: ");
    person.types("secret-four\r");
    person.reads("Error: the passwords do not match; nothing was changed");
    person.reads("shibudb> ");
    person.does("list-spaces", "notes", "shibudb> ");
    let kept = fs::read_to_string(person.history()).unwrap();
    assert!(kept.contains("create-space notes\nlist-spaces\n"), "{kept}");
    assert!(!kept.contains("secret") && !kept.contains("-user"), "{kept}");
    assert_eq!(fs::metadata(person.history()).unwrap().permissions().mode() & 0o777, 0o600);

    let mut person = person.again(&server);
    // Up, twice.
    person.does("\x1b[A\x1b[A2", "SPACE_CREATED", "shibudb> ");
    person.does("list-spaces", "notes\r\nnotes2", "shibudb> ");
}

#[test]
fn a_server_that_has_gone_is_missed_and_one_may_go_on() {
    let mut server = Setup::new().start();
    let mut person = Person::new(&server);
    server.kill();
    let absent = format!("Error: cannot connect to 127.0.0.1:{}: connection refused", server.port());
    person.does("list-spaces", &absent, "shibudb> ");
    person.does("list-spaces", &absent, "shibudb> ");
    person.leave();
}

/// Lets a client log in, reads its first request, and goes away.
#[test]
fn a_connection_lost_in_the_middle_is_told_from_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        stream.read_line(&mut String::new()).unwrap();
        stream.get_mut().write_all(b"{\"status\":\"OK\",\"user\":{\"username\":\"admin\"}}\n").unwrap();
        let mut request = String::new();
        stream.read_line(&mut request).unwrap();
        request
    });
    fails(
        script_at(port, &[], Some("x"), "use notes\n"),
        "line 1: the connection to the server was lost before it answered: the server closed it",
    );
    assert_eq!(server.join().unwrap(), "{\"type\":\"USE_SPACE\",\"space\":\"notes\"}\n");
}

#[test]
fn a_connection_that_the_server_ended_is_made_anew_in_the_same_space() {
    let server = Setup::new().config("[client]\nidle_timeout = \"1s\"\n").start();
    let mut person = Person::new(&server);
    person.does("create-space notes", "SPACE_CREATED", "shibudb> ");
    person.does("use notes", "SPACE_CHANGED", "shibudb/notes> ");
    server.wait_until_active(0);
    person.types("put k v\r");
    person.reads("The connection was lost; logged in again.");
    person.reads("OK");
    person.reads("shibudb/notes> ");
}

#[test]
fn ctrl_c_at_the_password_ends_it_in_good_order() {
    let server = Setup::new().start();
    let home = tempfile::tempdir().unwrap();
    let mut terminal = Person::terminal(&server, home.path());
    terminal.exp_string("Password of admin: ").unwrap();
    terminal.send("abc\x03").unwrap();
    terminal.flush().unwrap();
    let rest = terminal.exp_eof().unwrap();
    assert!(rest.contains("Error: cannot ask for a password: interrupted"), "{rest}");
}
