//! Further instances beside the service: `shibudb@NAME`.

use libtest_mimic::Trial;

use crate::machine::{Machine, eventually};

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        an_instance_runs_beside_the_service_with_directories_of_its_own,
        the_shipped_example_is_an_instance,
        an_instance_without_a_file_fails_once_and_says_why,
        the_first_connection_starts_an_instance_with_a_socket_unit,
        an_upgrade_restarts_instances_but_for_one_with_a_broken_file,
    ]
}

fn an_instance_runs_beside_the_service_with_directories_of_its_own() {
    let machine = Machine::with_shibudb();
    machine.sh("mkdir -p /etc/credstore && echo 'of the cache' >/etc/credstore/shibudb@cache.admin-password");
    machine.sh("chmod 600 /etc/credstore/* && echo 'port = 7070' >/etc/shibudb/cache.toml");
    machine.sh("systemctl enable --now shibudb@cache");
    machine.sh("shibudb manager 7070 limit 77 && systemctl restart shibudb@cache shibudb");
    assert!(machine.sh("shibudb manager 7070 status").contains("Current Limit: 77\n"));
    assert!(machine.sh("shibudb manager 9090 status").contains("Current Limit: 1000\n"));
    let (own, service) = ("/var/lib/shibudb-instances/cache", "/var/lib/shibudb");
    assert_eq!(machine.sh(&format!("stat -c '%U %a' {own}")), "shibudb 700");
    machine.sh(&format!("test -e {own}/limit-override.json && test ! -e {service}/limit-override.json"));
    machine.sh(&format!("test ! -e {own}/initial-admin-password"));
    assert_eq!(
        machine.sh("stat -c '%U' /run/shibudb/instances/cache /run/shibudb/service"),
        "shibudb\nshibudb"
    );
    // Stopping one does not stop the other.
    machine.sh(
        "systemctl stop shibudb && test ! -e /run/shibudb/service && test -e /run/shibudb/instances/cache",
    );
    machine.connect(7070).unwrap();
    machine.sh("systemctl reload shibudb@cache && systemctl stop shibudb@cache");
    machine.connect(7070).unwrap_err();
}

fn the_shipped_example_is_an_instance() {
    let machine = Machine::with_shibudb();
    machine.sh("cp /usr/share/doc/shibudb/examples/instance.toml /etc/shibudb/7070.toml");
    machine.sh("systemctl enable --now shibudb@7070");
    let member = "setpriv --reuid=1234 --regid=\"$(id -g shibudb)\" --clear-groups";
    machine.sh(&format!(
        "{member} shibudb manager --socket /run/shibudb/instances/7070/management.sock limit 70"
    ));
    assert!(machine.sh("shibudb manager 7070 status").contains("Current Limit: 70\n"));
}

fn an_instance_without_a_file_fails_once_and_says_why() {
    let machine = Machine::with_shibudb();
    assert_ne!(machine.run("systemctl start shibudb@nobody").status, Some(0));
    let status = machine.property_of("shibudb@nobody.service", "ExecMainStatus");
    assert_eq!(
        (status.as_str(), machine.property_of("shibudb@nobody.service", "NRestarts").as_str()),
        ("78", "0")
    );
    let said = machine.sh("journalctl --sync && journalctl -u shibudb@nobody --no-pager");
    assert!(said.contains("/etc/shibudb/nobody.toml: cannot be read"), "{said}");
}

fn the_first_connection_starts_an_instance_with_a_socket_unit() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'port = 7070' >/etc/shibudb/7070.toml && systemctl enable --now shibudb@7070.socket");
    assert_eq!(machine.property_of("shibudb@7070.service", "ActiveState"), "inactive");
    let _client = machine.connect(7070).unwrap();
    eventually("the instance runs", || {
        (machine.property_of("shibudb@7070.service", "ActiveState") == "active").then_some(())
    });
    let said = machine.sh("journalctl --sync && journalctl -u shibudb@7070 --no-pager");
    assert!(said.contains("listening on 127.0.0.1:7070 for clients, as handed over"), "{said}");
}

fn an_upgrade_restarts_instances_but_for_one_with_a_broken_file() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'port = 7070' >/etc/shibudb/7070.toml && echo 'port = 6060' >/etc/shibudb/6060.toml");
    machine
        .sh("systemctl enable --now shibudb@7070 shibudb@6060 && echo 'broken = 1' >>/etc/shibudb/6060.toml");
    let pid = |unit: &str| machine.property_of(unit, "MainPID");
    let before = (pid("shibudb@7070.service"), pid("shibudb@6060.service"));
    let said = machine.run("dpkg --install /opt/shibudb.deb").stderr;
    assert!(said.contains("shibudb@6060.service was not restarted"), "{said}");
    assert!(!said.contains("shibudb@7070.service was not"), "{said}");
    assert_ne!(pid("shibudb@7070.service"), before.0);
    assert_eq!(pid("shibudb@6060.service"), before.1);
    machine.connect(7070).unwrap();
    machine.connect(6060).unwrap();
}
