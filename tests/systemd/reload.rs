//! `systemctl reload`.

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        a_good_file_is_reloaded_by_the_same_process,
        a_broken_file_fails_the_reload_and_nothing_else,
        a_limit_that_is_refused_for_good_fails_the_reload,
        a_reload_names_who_asked_for_it
    ]
}

fn a_good_file_is_reloaded_by_the_same_process() {
    let machine = Machine::with_shibudb();
    let before = machine.property("MainPID");
    machine.sh("systemctl reload shibudb");
    assert_eq!(machine.property("MainPID"), before);
    assert_eq!(machine.property("SubState"), "running");
}

fn a_broken_file_fails_the_reload_and_nothing_else() {
    let machine = Machine::with_shibudb();
    let before = machine.property("MainPID");
    machine.sh("cp -p /etc/shibudb/shibudb.toml /tmp/good && echo 'broken = 1' >>/etc/shibudb/shibudb.toml");
    assert_eq!(machine.run("systemctl reload shibudb").status, Some(1));
    assert!(machine.journal().contains("broken"), "{}", machine.journal());
    assert_eq!(machine.property("SubState"), "running");
    assert_eq!(machine.property("MainPID"), before);

    machine.sh("cp -p /tmp/good /etc/shibudb/shibudb.toml && systemctl reload shibudb");
    assert_eq!(machine.property("MainPID"), before);
}

fn a_limit_that_is_refused_for_good_fails_the_reload() {
    let machine = Machine::with_shibudb();
    let before = machine.property("MainPID");
    machine.sh("sed -i 's/^max_connections = .*/max_connections = 4000000/' /etc/shibudb/shibudb.toml");
    assert_eq!(machine.run("systemctl reload shibudb").status, Some(1));
    assert_eq!((machine.property("SubState"), machine.property("MainPID")), ("running".into(), before));
    let shown =
        || machine.property("StatusText").contains("max_connections = 4000000 of the config file is refused");
    eventually("the status says so", || shown().then_some(()));
}

/// The reload uses the socket, as the server's user.
fn a_reload_names_who_asked_for_it() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl reload shibudb && journalctl --sync");
    let journal = machine.journal();
    let line = journal.lines().find(|line| line.contains("config file read again (as asked by pid "));
    assert!(line.is_some_and(|line| line.contains("(shibudb) through cli)")), "{journal}");
}
