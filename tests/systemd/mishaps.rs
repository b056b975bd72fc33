//! What happens to operators: haste, a wrong owner, a full disk.

use std::time::Duration;

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};

const SOON: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        restarts_in_quick_succession_all_work,
        a_reload_right_after_the_start_works,
        a_data_directory_of_somebody_else_is_taken_over,
        a_full_disk_at_the_start_is_overcome_once_there_is_room,
        an_occupied_port_is_said,
        data_elsewhere_needs_what_the_manual_page_says,
        a_low_port_needs_what_the_manual_page_says,
        a_server_beside_the_service_keeps_its_pid_file,
    ]
}

fn restarts_in_quick_succession_all_work() {
    let machine = Machine::with_shibudb();
    machine.sh("for i in 1 2 3 4 5 6 7 8; do systemctl restart shibudb; done");
    machine.sh("systemctl restart --no-block shibudb; systemctl restart --no-block shibudb; systemctl restart shibudb");
    assert_eq!(machine.property("ActiveState"), "active");
    assert_eq!(machine.property("NFileDescriptorStore"), "2");
    machine.connect(9090).unwrap();
}

fn a_reload_right_after_the_start_works() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb && systemctl start shibudb && systemctl reload shibudb");
    // A signal that comes before the server is ready.
    machine.sh(
        "systemctl stop shibudb; systemctl start --no-block shibudb; systemctl kill -s HUP shibudb || true",
    );
    eventually("it runs", SOON, || (machine.property("SubState") == "running").then_some(()));
    machine.connect(9090).unwrap();
}

/// As after a backup that root has put back.
fn a_data_directory_of_somebody_else_is_taken_over() {
    let machine = Machine::with_shibudb();
    machine.sh("shibudb manager 9090 limit 1234 && systemctl stop shibudb");
    machine.sh("chown -R root:root /var/lib/shibudb && systemctl start shibudb");
    assert!(machine.sh("shibudb manager 9090 status").contains("Current Limit: 1234"));
}

fn a_full_disk_at_the_start_is_overcome_once_there_is_room() {
    let machine = Machine::with_shibudb();
    machine
        .sh("shibudb manager 9090 limit 1234 && systemctl stop shibudb && mv /var/lib/shibudb /var/lib/kept");
    machine.sh("mkdir /var/lib/shibudb && mount -t tmpfs -o size=256m,mode=700 tmpfs /var/lib/shibudb");
    machine.sh("cp -a /var/lib/kept/. /var/lib/shibudb && chown -R shibudb: /var/lib/shibudb");
    assert_ne!(machine.run("cat /dev/zero >/var/lib/shibudb/fill").status, Some(0));
    // Whether it starts is the store's to say, but not without a word of why not.
    if machine.run("systemctl start shibudb").status != Some(0) {
        assert!(machine.journal().contains("No space left on device"), "{}", machine.journal());
    }
    machine.sh("rm /var/lib/shibudb/fill && systemctl restart shibudb");
    assert!(machine.sh("shibudb manager 9090 status").contains("Current Limit: 1234"));
}

fn an_occupied_port_is_said() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb");
    let _other = machine.inside(|| std::net::TcpListener::bind("127.0.0.1:9090").unwrap());
    assert_ne!(machine.run("systemctl start shibudb").status, Some(0));
    assert!(machine.journal().contains("port 9090 is already in use"), "{}", machine.journal());
}

fn data_elsewhere_needs_what_the_manual_page_says() {
    let machine = Machine::with_shibudb();
    machine.sh("install -d -o shibudb -m 700 /srv/db");
    machine.sh("printf '[storage]\\npath = \"/srv/db\"\\n' >/etc/shibudb/shibudb.toml");
    assert_ne!(machine.run("systemctl restart shibudb").status, Some(0));
    assert!(machine.journal().contains("/srv/db"), "{}", machine.journal());
    machine.drop_in("[Service]\nReadWritePaths=/srv/db");
    machine.sh("systemctl restart shibudb && test -e /srv/db/initial-admin-password");
}

fn a_low_port_needs_what_the_manual_page_says() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'port = 900' >/etc/shibudb/shibudb.toml");
    assert_ne!(machine.run("systemctl restart shibudb").status, Some(0));
    let capability = "CAP_NET_BIND_SERVICE";
    machine
        .drop_in(&format!("[Service]\nAmbientCapabilities={capability}\nCapabilityBoundingSet={capability}"));
    machine.sh("systemctl restart shibudb");
    machine.connect(900).unwrap();
}

fn a_server_beside_the_service_keeps_its_pid_file() {
    let machine = Machine::with_shibudb();
    machine.sh(
        "shibudb start 7070 --data-dir /srv/other && systemctl restart shibudb && systemctl stop shibudb",
    );
    machine.connect(7070).unwrap();
    machine.sh("shibudb stop 7070");
    machine.connect(7070).unwrap_err();
}
