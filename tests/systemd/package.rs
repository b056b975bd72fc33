//! The life of the package: installed, upgraded, removed, purged.

use std::collections::BTreeSet;
use std::process::Command;

use libtest_mimic::Trial;

use crate::image::Image;
use crate::machine::Machine;
use crate::storm::storm;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![
        lintian_finds_nothing,
        installing_enables_and_starts_the_service_but_not_the_socket,
        no_connect_is_refused_during_an_upgrade,
        an_upgrade_keeps_what_the_administrator_chose,
        an_upgrade_leaves_a_server_running_whose_config_is_broken,
        an_upgrade_checks_the_file_that_the_administrator_has_chosen,
        documents_and_examples_are_shipped,
        removing_keeps_data_and_settings,
        purging_leaves_nothing_behind,
    ]
}

const INSTALL: &str = "dpkg --install /opt/shibudb.deb";

fn lintian_finds_nothing() {
    let mut lintian = Command::new("lintian");
    let output = lintian
        .args(["--allow-root", "--fail-on", "error,warning"])
        .arg(&Image::get().package)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

fn installing_enables_and_starts_the_service_but_not_the_socket() {
    let machine = Machine::boot();
    machine.sh("apt-get install --yes /opt/shibudb.deb");
    assert_eq!(machine.sh("systemctl is-enabled shibudb.service"), "enabled");
    assert_eq!(machine.sh("systemctl is-active shibudb.service"), "active");
    assert_eq!(machine.run("systemctl is-enabled shibudb.socket").stdout, "disabled");
    assert_eq!(machine.run("systemctl is-active shibudb.socket").stdout, "inactive");
    assert_eq!(machine.sh("stat -c '%U %a' /var/lib/shibudb"), "shibudb 700");
    assert_eq!(machine.sh("stat -c '%U %a' /etc/shibudb/shibudb.toml"), "root 644");
}

fn no_connect_is_refused_during_an_upgrade() {
    let machine = Machine::with_shibudb();
    let before = machine.property("MainPID");
    storm(&machine, |tally| {
        tally.await_answer();
        machine.sh(INSTALL);
        tally.await_answer();
    })
    .assert_none_failed();
    assert_ne!(machine.property("MainPID"), before, "the new version is not running");
}

fn an_upgrade_keeps_what_the_administrator_chose() {
    let machine = Machine::with_shibudb();
    machine.sh("systemctl disable --now shibudb.service");
    machine.sh("echo '# by hand' >>/etc/shibudb/shibudb.toml");
    machine.sh(INSTALL);
    assert_eq!(machine.run("systemctl is-enabled shibudb.service").stdout, "disabled");
    assert_eq!(machine.run("systemctl is-active shibudb.service").stdout, "inactive");
    assert_eq!(machine.sh("tail -n 1 /etc/shibudb/shibudb.toml"), "# by hand");
}

fn an_upgrade_leaves_a_server_running_whose_config_is_broken() {
    let machine = Machine::with_shibudb();
    let before = machine.property("MainPID");
    machine.sh("echo 'broken = 1' >>/etc/shibudb/shibudb.toml");
    let upgrade = machine.run(INSTALL);
    assert_eq!(upgrade.status, Some(0), "{upgrade:?}");
    assert!(upgrade.stderr.contains("shibudb.service was not restarted and goes on running"), "{upgrade:?}");
    assert!(upgrade.stderr.contains("unknown key \"broken\""), "{upgrade:?}");
    assert_eq!(machine.sh("dpkg-query --show --showformat='${db:Status-Status}' shibudb"), "installed");
    assert_eq!(machine.property("MainPID"), before);
    machine.connect(9090).unwrap();

    // A stopped server is not affected, and nothing is printed about it.
    machine.sh("systemctl stop shibudb");
    let upgrade = machine.run(INSTALL);
    assert!(upgrade.status == Some(0) && !upgrade.stderr.contains("goes on running"), "{upgrade:?}");
}

fn an_upgrade_checks_the_file_that_the_administrator_has_chosen() {
    let machine = Machine::with_shibudb();
    machine.drop_in("[Service]\nExecStart=\nExecStart=/usr/bin/shibudb run --config /etc/shibudb/own.toml");
    machine.sh("echo 'port = 7070' >/etc/shibudb/own.toml && systemctl restart shibudb");
    machine.sh("echo 'broken = 1' >>/etc/shibudb/shibudb.toml");
    let before = machine.property("MainPID");
    machine.sh(INSTALL);
    assert_ne!(
        machine.property("MainPID"),
        before,
        "a broken file that nobody uses has kept the old version"
    );
    let before = machine.property("MainPID");
    machine.sh(&format!("echo 'broken = 1' >>/etc/shibudb/own.toml && {INSTALL}"));
    assert_eq!(machine.property("MainPID"), before);
    machine.connect(7070).unwrap();
}

fn documents_and_examples_are_shipped() {
    let machine = Machine::with_shibudb();
    machine.sh("cd /usr/share/doc/shibudb && zcat -f README.md* | head -n 1 | grep -qx '# shibudb'");
    machine.sh("cd /usr/share/doc/shibudb/examples && test -x autoscale && sh -n autoscale");
    machine.sh("cd /usr/share/doc/shibudb/examples && ls prometheus/shibudb.rules.yml grafana/shibudb.json");
    // The files named by the unit and the manual pages exist.
    let named = "grep -oh '/usr/share/doc/shibudb/[a-z./-]*[a-z]' /lib/systemd/system/shibudb* | sort -u";
    let named = machine.sh(named);
    assert!(named.contains("restart-backoff.conf"), "{named}");
    machine.sh(&format!("ls {}", named.replace('\n', " ")));
}

fn removing_keeps_data_and_settings() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'port = 7070' >/etc/shibudb/7070.toml && systemctl enable --now shibudb@7070");
    machine.sh("dpkg --remove shibudb");
    machine.connect(9090).unwrap_err();
    machine.connect(7070).unwrap_err();
    machine.sh("test -d /var/lib/shibudb && test -f /etc/shibudb/shibudb.toml && getent passwd shibudb");
    machine.sh(INSTALL);
    machine.connect(9090).unwrap();
}

fn purging_leaves_nothing_behind() {
    let machine = Machine::boot();
    // Creating the first account leaves backups and locks of the account files, as any account would.
    machine.sh("useradd --system other && userdel other");
    let before = files(&machine);
    machine.sh(INSTALL);
    machine.sh("echo 'port = 7070' >/etc/shibudb/7070.toml && systemctl enable --now shibudb@7070");
    machine.sh("systemctl stop shibudb && shibudb start 9090 && shibudb stop 9090");
    machine.sh("systemctl enable --now shibudb.socket || true; dpkg --purge shibudb");
    let left = Vec::from_iter(files(&machine).difference(&before).cloned().collect::<BTreeSet<_>>());
    assert!(left.is_empty(), "{left:#?}");
    let named =
        machine.run("grep --recursive --files-with-matches shibudb /etc --exclude='*-' --exclude=hostname");
    assert_eq!(named.stdout, "");
}

/// Every file on the disk and in /run, but for logs and what systemd and dpkg keep for themselves.
fn files(machine: &Machine) -> BTreeSet<String> {
    let list = machine.sh(
        "find / /run -xdev -not -path '/run/systemd/*' -not -path '/var/log/*' -not -path '/var/lib/dpkg/*'",
    );
    list.lines().map(str::to_owned).collect()
}
