//! Operators' mishaps: haste, a wrong owner, a full disk.

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};

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
        an_address_that_comes_late_is_waited_for,
        root_in_the_directory_of_the_service_starts_as_its_user,
        root_is_told_the_command_where_it_cannot_become_the_user,
        files_of_roots_in_the_directory_are_blamed_and_how_to_mend_it_is_said,
        damaged_data_is_not_tried_over_and_over,
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
    eventually("it runs", || (machine.property("SubState") == "running").then_some(()));
    machine.connect(9090).unwrap();
}

/// As after root has restored a backup.
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
    // The store decides whether it starts, but a failure must have an error message.
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

fn an_address_that_comes_late_is_waited_for() {
    let machine = Machine::with_shibudb();
    // Otherwise the test would take a minute.
    machine.drop_in("[Service]\nRestartSec=10ms");
    machine.sh("sed -i '0,/^bind = .*/s//bind = \"192.0.2.7\"/' /etc/shibudb/shibudb.toml");
    assert_ne!(machine.run("systemctl restart shibudb").status, Some(0));
    // More often than any limit to starts in a unit.
    eventually("it is tried again and again", || {
        (machine.property("NRestarts").parse::<u32>().unwrap() > 25).then_some(())
    });
    let journal = machine.journal();
    assert!(journal.contains("the address 192.0.2.7 is not assigned to this host, or not yet"), "{journal}");
    let added = machine.inside(|| {
        std::process::Command::new("ip")
            .args(["address", "add", "192.0.2.7/32", "dev", "lo"])
            .status()
            .unwrap()
    });
    assert!(added.success());
    eventually("it runs", || (machine.property("SubState") == "running").then_some(()));
    machine.inside(|| std::net::TcpStream::connect("192.0.2.7:9090").unwrap());
}

fn root_in_the_directory_of_the_service_starts_as_its_user() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb");
    let said = machine.run("shibudb start 9090 1000");
    assert_eq!(said.status, Some(0), "{said:?}");
    assert!(said.stderr.contains("/var/lib/shibudb belongs to user shibudb"), "{said:?}");
    assert!(
        said.stdout.contains("limit 1000") && said.stdout.contains("log /var/lib/shibudb/shibudb.log"),
        "{said:?}"
    );
    let pid = said.stdout.split("PID ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    assert_eq!(machine.sh(&format!("ps -o user=,group= -p {pid} | xargs")), "shibudb shibudb");
    assert!(machine.sh("shibudb manager 9090 config").ends_with("Log: /var/lib/shibudb/shibudb.log"));
    // Both root and the user itself find it.
    let again = machine.run("shibudb start 9090 1000");
    assert!(again.stderr.contains(&format!("already running on port 9090 (PID {pid})")), "{again:?}");
    machine.sh("shibudb stop 9090 && shibudb start 9090 1000 && runuser -u shibudb -- shibudb stop 9090");
    assert_eq!(machine.sh("find /var/lib/shibudb ! -user shibudb"), "");
    machine.sh("systemctl start shibudb");
    machine.connect(9090).unwrap();
}

fn root_is_told_the_command_where_it_cannot_become_the_user() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb");
    let refused = machine.run("shibudb run 9090 1000");
    assert_eq!(refused.status, Some(78), "{refused:?}");
    let command = "sudo -u shibudb shibudb run 9090 1000 --data-dir /var/lib/shibudb";
    assert!(refused.stderr.ends_with(&format!("run as that user: {command}")), "{refused:?}");
    // Without the right to do so, start says the same.
    let refused = machine.run("setpriv --bounding-set=-setuid,-setgid shibudb start 9090");
    assert_eq!(refused.status, Some(1), "{refused:?}");
    let command = "run sudo -u shibudb shibudb start 9090 --data-dir /var/lib/shibudb";
    assert!(refused.stderr.ends_with(command), "{refused:?}");
    // As in the message, but without sudo, which this machine lacks.
    machine.sh("runuser -u shibudb -- shibudb start 9090 --data-dir /var/lib/shibudb");
    machine.sh("runuser -u shibudb -- shibudb stop 9090 && systemctl start shibudb");
}

fn files_of_roots_in_the_directory_are_blamed_and_how_to_mend_it_is_said() {
    let machine = Machine::with_shibudb();
    machine.sh("shibudb manager 9090 limit 1234 && systemctl stop shibudb");
    machine.sh("chown root:root /var/lib/shibudb/limit-override.json");
    assert_ne!(machine.run("systemctl start shibudb").status, Some(0));
    let advice = "/var/lib/shibudb/limit-override.json belongs to user root, but this server runs as shibudb";
    let command = "chown -R shibudb: /var/lib/shibudb";
    let journal = machine.journal();
    assert!(journal.contains(advice) && journal.contains(command), "{journal}");
    machine.sh(command);
    eventually("it runs", || (machine.property("SubState") == "running").then_some(()));
    assert!(machine.sh("shibudb manager 9090 status").contains("Current Limit: 1234"));
}

fn damaged_data_is_not_tried_over_and_over() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl stop shibudb && mv /var/lib/shibudb/store /var/lib/kept");
    assert_ne!(machine.run("systemctl start shibudb").status, Some(0));
    eventually("it has failed", || (machine.property("ActiveState") == "failed").then_some(()));
    assert_eq!(
        (machine.property("ExecMainStatus").as_str(), machine.property("NRestarts").as_str()),
        ("65", "0")
    );
    assert!(machine.journal().contains("storage is damaged"), "{}", machine.journal());
    machine.sh("mv /var/lib/kept /var/lib/shibudb/store && systemctl start shibudb");
}
