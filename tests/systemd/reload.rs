//! `systemctl reload`.

use libtest_mimic::Trial;

use crate::machine::Machine;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        a_good_file_is_reloaded_by_the_same_process,
        a_broken_file_fails_the_reload_and_nothing_else
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
