//! An operator's typical tasks: start, edit, look, signal, read the journal.

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        the_commands_of_an_ordinary_day,
        the_readme_is_true,
        an_edit_with_sed_takes_effect,
        the_shipped_management_socket_works_and_the_history_names_who_used_it,
        a_server_that_is_to_listen_everywhere_does_after_a_restart,
        a_credential_is_the_admin_password
    ]
}

fn the_commands_of_an_ordinary_day() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb && systemctl start shibudb");
    machine.sh("sed -i 's/^#* *max_connections = .*/max_connections = 2000/' /etc/shibudb/shibudb.toml");
    eventually("the edit is in force", || (limit(&machine) == "2000").then_some(()));
    let _client = machine.connect(9090).unwrap();
    let stats = eventually("the client is counted", || {
        let stats = machine.sh("shibudb manager 9090 stats");
        stats.contains("Active Connections: 1\n").then_some(stats)
    });
    assert!(stats.contains("Max Connections: 2000\n"), "{stats}");
    machine.sh("systemctl kill -s USR1 shibudb");
    eventually("the signal is obeyed", || (limit(&machine) == "2100").then_some(()));
    let journal = machine.sh("journalctl --sync; journalctl -u shibudb");
    assert!(journal.contains("connection limit changed from 1000 to 2000"), "{journal}");
    assert!(journal.contains("connection limit changed from 2000 to 2100"), "{journal}");
}

fn the_readme_is_true() {
    let machine = Machine::with_shibudb();
    let (_, section) = include_str!("../../README.md").split_once("under systemd\n").unwrap();
    let commands = section.split("```sh\n").nth(2).unwrap().split("```").next().unwrap();
    // In place of an editor.
    machine.sh("printf '#!/bin/sh\\nsed -i s/1000/900/ $1\\n' >/usr/local/bin/editor; chmod +x /usr/local/bin/editor");
    let [status, edit, stats, signal, journal] = *Vec::from_iter(commands.lines()) else {
        panic!("five commands: {commands}")
    };
    let said = machine.sh(status);
    assert!(said.contains("Status: \"0/1000 connections (0.0 %)\""), "{said}");
    machine.sh(edit);
    eventually("the edit is in force", || machine.sh(stats).contains("Max Connections: 900\n").then_some(()));
    machine.sh(signal);
    eventually("the journal says who it was", || {
        machine.run(journal).stdout.contains("connection limit changed from 900 to 1000").then_some(())
    });
    assert_ne!(machine.sh("cat /var/lib/shibudb/initial-admin-password"), "");
}

fn an_edit_with_sed_takes_effect() {
    let machine = Machine::with_shibudb();
    machine.sh("sed -i 's/^#* *max_connections = .*/max_connections = 700/' /etc/shibudb/shibudb.toml");
    eventually("the edit is in force", || (limit(&machine) == "700").then_some(()));
}

fn the_shipped_management_socket_works_and_the_history_names_who_used_it() {
    let machine = Machine::with_shibudb();
    machine.sh("sed -i 's/^#socket = /socket = /' /etc/shibudb/shibudb.toml && systemctl restart shibudb");
    let socket = machine.sh("sed -n 's/^socket = \"\\(.*\\)\"/\\1/p' /etc/shibudb/shibudb.toml");
    let as_somebody = "setpriv --reuid=1234 --regid=\"$(id -g shibudb)\" --clear-groups";
    machine.sh(&format!("{as_somebody} shibudb manager --socket {socket} limit 2000"));
    assert_eq!(limit(&machine), "2000");
    let actor = machine.sh("curl -s 'localhost:10090/history?limit=1' | jq -r .changes[0].actor");
    assert!(actor.ends_with(" uid 1234"), "{actor}");
    let stranger = "setpriv --reuid=1234 --regid=1234 --clear-groups";
    let refused = machine.run(&format!("{stranger} shibudb manager --socket {socket} limit 3000"));
    assert_eq!((refused.status, limit(&machine).as_str()), (Some(1), "2000"), "{refused:?}");
}

fn a_server_that_is_to_listen_everywhere_does_after_a_restart() {
    let machine = Machine::with_shibudb();
    // As the kernel writes them.
    for (bind, listens) in [
        ("0.0.0.0", "00000000:2382"),
        ("127.0.0.1", "0100007F:2382"),
        ("::", "00000000000000000000000000000000:2382"),
    ] {
        machine.sh(&format!("sed -i '0,/^bind = .*/s//bind = \"{bind}\"/' /etc/shibudb/shibudb.toml"));
        machine.sh("systemctl restart shibudb");
        machine.connect(9090).unwrap();
        let listening =
            machine.sh("awk '$4 == \"0A\" && $2 ~ /:2382$/ { print $2 }' /proc/net/tcp /proc/net/tcp6");
        assert_eq!(listening, listens, "{bind}");
        assert_eq!(machine.property("NRestarts"), "0");
    }
}

fn a_credential_is_the_admin_password() {
    let machine = Machine::boot();
    machine
        .sh("mkdir -p /etc/credstore && echo 'from the credential' >/etc/credstore/shibudb.admin-password");
    machine.sh("chmod 600 /etc/credstore/shibudb.admin-password && dpkg --install /opt/shibudb.deb");
    assert!(machine.login("admin", "from the credential"));
    assert!(!machine.login("admin", "another"));
    machine.sh("test ! -e /var/lib/shibudb/initial-admin-password");
    assert!(!machine.journal().contains("from the credential"));
}

/// The limit in force, from the management API.
fn limit(machine: &Machine) -> String {
    machine.sh("curl -s localhost:10090/limit | jq .current_limit")
}
