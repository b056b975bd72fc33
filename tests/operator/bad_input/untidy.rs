//! `start` and `stop` in a bad environment, and while other processes hold the PID file.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, kill_process};

use crate::harness::sandbox::{Sandbox, enter};
use crate::harness::{Log, PASSWORD, Signal, refused, wait_until};

const PID_FILE: &str = "/run/shibudb/9090.pid";

const NOBODY: &str = "Error: no server started with `shibudb start 9090` is running; to stop a systemd service, use \
    `systemctl stop shibudb`\n";

fn sleeper(sandbox: &Sandbox) -> Child {
    sandbox.program("/bin/sleep".as_ref()).arg("1000").spawn().unwrap()
}

#[track_caller]
fn expect_alive_and_end(mut process: Child) {
    assert!(process.try_wait().unwrap().is_none(), "it was signalled");
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Starts a program and returns when it holds a lock on the PID file.
fn holder(sandbox: &Sandbox, how: &str) -> Child {
    let text = format!("exec flock {how} --no-fork {PID_FILE} sh -c 'echo held; exec /bin/sleep 1000'");
    let mut child = sandbox.bash(&text).stdout(Stdio::piped()).spawn().unwrap();
    child.stdout.take().unwrap().read_exact(&mut [0; 5]).unwrap();
    child
}

#[test]
fn a_stranger_is_not_signalled_whoever_locks_the_file() {
    enter(|sandbox| {
        fs::create_dir_all("/run/shibudb").unwrap();
        for how in ["--shared", "--exclusive"] {
            let victim = sleeper(sandbox);
            fs::write(PID_FILE, format!("{}\n", victim.id())).unwrap();
            // The mode of earlier versions: every user that can read the file can lock it.
            fs::set_permissions(PID_FILE, Permissions::from_mode(0o644)).unwrap();
            let stranger = holder(sandbox, how);
            assert_eq!(sandbox.fails("shibudb stop 9090", 1), NOBODY, "{how}");
            sandbox.start(100);
            sandbox.run("shibudb stop 9090");
            expect_alive_and_end(victim);
            expect_alive_and_end(stranger);
        }
    });
}

#[test]
fn the_pid_file_is_for_its_owner_alone() {
    enter(|sandbox| {
        sandbox.start(100);
        assert_eq!(fs::metadata(PID_FILE).unwrap().mode() & 0o777, 0o600);
        sandbox.run("shibudb stop 9090");
        assert!(!Path::new(PID_FILE).exists());
    });
}

/// Inside, process numbers mean other processes.
const OTHER_PROCESSES: &str = "unshare --pid --fork --kill-child --mount-proc sh -c";

#[test]
fn a_number_means_nothing_in_another_pid_namespace() {
    enter(|sandbox| {
        let pid = sandbox.start(100);
        // In that namespace, another process has this number.
        let script = format!(
            "last=0; until [ $last -ge {pid} ]; do /bin/sleep 1000 & last=$!; done; \
             shibudb stop 9090 || echo status $?; kill -0 {pid} && echo alive"
        );
        let output = sandbox.bash(&format!("{OTHER_PROCESSES} '{script}'")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("in another PID namespace") && said.contains("no signal was sent"), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "status 1\nalive\n");
        sandbox.run("shibudb manager 9090 health && shibudb stop 9090");
    });
}

#[test]
fn a_server_in_a_pid_namespace_below_is_stopped_from_above_and_nobody_else() {
    enter(|sandbox| {
        let mut inside = sandbox.bash(&format!("{OTHER_PROCESSES} 'shibudb start 9090 && /bin/sleep 1000'"));
        let mut inside = inside.stdout(Stdio::piped()).spawn().unwrap();
        let log = Log::of(inside.stdout.take().unwrap());
        log.wait_for("shibudb is running");
        let number: i32 = fs::read_to_string(PID_FILE).unwrap().trim().parse().unwrap();
        assert!(number < 50, "as it is called in there: {number}");
        let said = sandbox.run("shibudb stop 9090");
        assert!(!said.contains(&format!("(PID {number})")) && said.ends_with("Stopped\n"), "{said}");
        inside.kill().unwrap();
        inside.wait().unwrap();
    });
}

#[test]
fn a_directory_for_temporary_files_is_not_needed() {
    enter(|sandbox| {
        let long = sandbox.home().join("x".repeat(150));
        fs::create_dir(&long).unwrap();
        for place in [Path::new("/nonexistent"), &long, Path::new("/proc")] {
            sandbox.run(&format!("TMPDIR={} shibudb start 9090", place.display()));
            sandbox.run("shibudb stop 9090");
        }
    });
}

/// Another user than root, with the same files.
const SOMEBODY: &str = "unshare --user --map-user=1000 --map-group=1000";

#[test]
fn a_server_outlives_the_runtime_directory_of_a_login() {
    enter(|sandbox| {
        let login = sandbox.home().join("login");
        fs::create_dir(&login).unwrap();
        let runtime = format!("XDG_RUNTIME_DIR={}", login.display());
        sandbox.run(&format!("{runtime} {SOMEBODY} shibudb start 9090"));
        // A logout removes the directory.
        fs::remove_dir_all(&login).unwrap();
        let again = sandbox.fails(&format!("{SOMEBODY} shibudb start 9090"), 1);
        assert!(again.contains("is already running on port 9090"), "{again}");
        sandbox.run(&format!("{runtime} {SOMEBODY} shibudb stop 9090"));
        // The environment may still name it.
        sandbox.run(&format!("{runtime} {SOMEBODY} shibudb start 9090 && {SOMEBODY} shibudb stop 9090"));
    });
}

#[test]
fn a_home_may_have_a_long_name() {
    enter(|sandbox| {
        let home = sandbox.home().join("y".repeat(120));
        fs::create_dir(&home).unwrap();
        let somebody = format!("HOME={} {SOMEBODY}", home.display());
        sandbox.run(&format!("{somebody} shibudb start 9090"));
        let run = home.join(".local/state/shibudb/run");
        let names: Vec<_> = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["9090.pid"], "nothing else is left behind");
        sandbox.run(&format!("{somebody} shibudb stop 9090"));
    });
}

#[test]
fn where_nothing_can_be_left_is_said() {
    enter(|sandbox| {
        fs::write("/run/shibudb", "").unwrap();
        fs::create_dir_all("/var/lib/shibudb").unwrap();
        fs::write("/var/lib/shibudb/run", "").unwrap();
        let said = sandbox.fails("shibudb start 9090", 1);
        assert!(
            said.starts_with("Error: no usable directory for the PID file; tried /run/shibudb ("),
            "{said}"
        );
    });
}

#[test]
fn nothing_that_the_caller_has_open_is_kept_open() {
    enter(|sandbox| {
        // The caller waits for an end of file on its pipe, and the lock is free when `start` is done.
        let said = sandbox.run(
            "exec 7>pipe-less; flock lock -c 'shibudb start 9090' | cat; flock --nonblock lock true; echo free",
        );
        assert!(said.ends_with("free\n"), "{said}");
        let pid = fs::read_to_string(PID_FILE).unwrap();
        let open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", pid.trim()))
            .unwrap()
            .filter_map(|descriptor| fs::read_link(descriptor.unwrap().path()).ok())
            .collect();
        for name in ["lock", "pipe-less"] {
            assert!(!open.contains(&sandbox.home().join(name)), "{name}: {open:?}");
        }
        sandbox.run("shibudb stop 9090");
    });
}

/// A server whose next start hangs on its disk until the test [unblocks](unblock) it: a pipe without a writer takes the
/// place of its journal.
fn that_hangs(sandbox: &Sandbox) -> (Child, Log) {
    sandbox.start(100);
    sandbox.run("shibudb stop 9090");
    let journal = newest_journal();
    fs::remove_file(&journal).unwrap();
    mknodat(CWD, &journal, FileType::Fifo, Mode::RWXU, 0).unwrap();
    // The parent of the tests may itself ignore interrupts, as a shell's background job does.
    let mut start = sandbox
        .bash("exec env --default-signal=INT shibudb start 9090")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = Log::of(start.stderr.take().unwrap());
    wait_until("the server opens its store", || {
        fs::read_to_string("/var/lib/shibudb/shibudb.log").is_ok_and(|log| log.contains("starting: opening"))
    });
    (start, said)
}

fn newest_journal() -> PathBuf {
    let number = |path: &PathBuf| path.file_stem()?.to_str()?.parse::<u64>().ok();
    let files = fs::read_dir("/var/lib/shibudb/store").unwrap().map(|entry| entry.unwrap().path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "jnl"));
    journals.max_by_key(number).unwrap()
}

fn unblock() {
    let journal = newest_journal();
    assert!(fs::metadata(&journal).unwrap().file_type().is_fifo());
    drop(fs::File::options().write(true).open(journal).unwrap());
}

fn interrupt(start: &Child) {
    kill_process(Pid::from_child(start), Signal::INT).unwrap();
}

#[test]
fn an_interrupted_start_leaves_no_server_behind() {
    enter(|sandbox| {
        let (mut start, said) = that_hangs(sandbox);
        interrupt(&start);
        said.wait_for("Interrupted: stopping the server (PID ");
        assert!(start.try_wait().unwrap().is_none(), "it waits for the server's end");
        unblock();
        assert_eq!(start.wait().unwrap().code(), Some(1));
        said.wait_for("Error: interrupted; the server was stopped before it was ready");
        assert_eq!(sandbox.fails("shibudb stop 9090", 1), NOBODY);
    });
}

#[test]
fn an_impatient_interrupt_ends_the_server_at_once() {
    enter(|sandbox| {
        let (mut start, said) = that_hangs(sandbox);
        interrupt(&start);
        said.wait_for("Interrupted: stopping the server (PID ");
        interrupt(&start);
        assert_eq!(start.wait().unwrap().code(), Some(1));
        said.wait_for("Error: interrupted; the server ");
        wait_until("the server has ended", || {
            // The kernel may merge two signals in quick succession: this is one more.
            sandbox.bash("shibudb stop 9090 --timeout 2").output().unwrap().stderr == NOBODY.as_bytes()
        });
    });
}

#[test]
fn an_interrupt_that_the_caller_ignores_is_ignored() {
    enter(|sandbox| {
        // As nohup does.
        let mut start = sandbox.bash("trap '' HUP INT; echo trapped; exec shibudb start 9090");
        let mut start = start.stdout(Stdio::piped()).spawn().unwrap();
        let said = Log::of(start.stdout.take().unwrap());
        said.wait_for("trapped");
        for signal in [Signal::HUP, Signal::INT] {
            kill_process(Pid::from_child(&start), signal).unwrap();
        }
        assert!(start.wait().unwrap().success());
        sandbox.run("shibudb manager 9090 health && shibudb stop 9090");
    });
}

#[test]
fn the_log_file_is_kept_short() {
    enter(|sandbox| {
        let log = Path::new("/var/lib/shibudb/shibudb.log");
        fs::create_dir_all("/var/lib/shibudb").unwrap();
        let full = |path: &Path| {
            let file = fs::File::create(path).unwrap();
            file.set_len(10 << 20).unwrap();
        };
        full(log);
        for number in 1..=4 {
            fs::write(log.with_added_extension(number.to_string()), format!("{number}")).unwrap();
        }
        sandbox.start(100);
        let text = || fs::read_to_string(log).unwrap();
        wait_until("the log says that it is ready", || text().contains("ready: clients on"));
        assert!(text().len() < 1 << 20, "{} bytes", text().len());
        assert_eq!(fs::metadata(log).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(log.with_added_extension("1")).unwrap().len(), 10 << 20);
        for number in 2..=4 {
            let kept = fs::read_to_string(log.with_added_extension(number.to_string())).unwrap();
            assert_eq!(kept, format!("{}", number - 1));
        }
        assert!(!log.with_added_extension("5").exists());

        let pid = fs::read_to_string(PID_FILE).unwrap();
        let stderr = format!("/proc/{}/fd/2", pid.trim());
        assert_eq!(fs::read_link(&stderr).unwrap(), log);

        // Another program, such as logrotate, may move the file away without notifying the server.
        let aside = log.with_file_name("aside");
        fs::rename(log, &aside).unwrap();
        sandbox.run("shibudb manager 9090 limit 12345");
        crate::harness::wait_until("a new file has begun", || {
            fs::read_to_string(log).is_ok_and(|text| text.contains("12345"))
        });
        assert!(!fs::read_to_string(&aside).unwrap().contains("12345"));
        assert_eq!(fs::read_link(&stderr).unwrap(), log);
        sandbox.run("shibudb stop 9090");
        assert!(fs::read_to_string(log).unwrap().contains("stopped"));
    });
}

#[test]
fn a_password_does_not_stay_in_the_environment() {
    enter(|sandbox| {
        let pid = sandbox.start(100);
        expect_no_password(&pid);
        sandbox.run("echo 'list-spaces' | SHIBUDB_PASSWORD=\"$SHIBUDB_ADMIN_PASSWORD\" shibudb connect 9090");
        sandbox.run("shibudb stop 9090; rm -r /var/lib/shibudb");
        let mut run = sandbox.bash("exec shibudb run 9090").stderr(Stdio::piped()).spawn().unwrap();
        Log::of(run.stderr.take().unwrap()).wait_for("created the account admin");
        expect_no_password(&run.id().to_string());
        sandbox.run("echo 'list-spaces' | SHIBUDB_PASSWORD=\"$SHIBUDB_ADMIN_PASSWORD\" shibudb connect 9090");
        kill_process(Pid::from_child(&run), Signal::TERM).unwrap();
        assert!(run.wait().unwrap().success());
    });
}

#[track_caller]
fn expect_no_password(pid: &str) {
    for what in ["environ", "cmdline", "comm"] {
        let text = fs::read(format!("/proc/{pid}/{what}")).unwrap();
        let text = String::from_utf8_lossy(&text);
        assert!(!text.contains(PASSWORD), "{what}: {text}");
        assert!(what == "environ" || text.contains("shibudb"), "{what}: {text}");
    }
    assert_eq!(fs::read_link(format!("/proc/{pid}/fd/0")).unwrap(), Path::new("/dev/null"));
}

#[test]
fn a_password_that_cannot_be_one_is_refused_in_words() {
    enter(|sandbox| {
        for command in ["run 9090", "start 9090"] {
            let said = refused(
                &Command::new("bash")
                    .args(["-c", &format!("SHIBUDB_ADMIN_PASSWORD=$'\\xff' exec shibudb {command}")])
                    .env("PATH", format!("{}:/usr/bin:/bin", sandbox.home().join("bin").display()))
                    .output()
                    .unwrap(),
                78,
            );
            assert_eq!(
                said,
                "Error: the password in SHIBUDB_ADMIN_PASSWORD cannot be used: it is not UTF-8\n"
            );
        }
    });
}
