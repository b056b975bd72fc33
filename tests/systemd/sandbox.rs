//! The unit files as systemd sees them.

use libtest_mimic::Trial;

use crate::machine::Machine;

pub(crate) fn trials() -> Vec<Trial> {
    crate::trials![the_exposure_is_low, the_unit_files_verify]
}

fn the_exposure_is_low() {
    let machine = Machine::with_shibudb();
    machine.sh("echo 'port = 7070' >/etc/shibudb/7070.toml && systemctl start shibudb@7070");
    for unit in ["shibudb.service", "shibudb@7070.service"] {
        let report = machine.sh(&format!("systemd-analyze security --no-pager {unit}"));
        let exposure = report.lines().last().and_then(|line| line.split(": ").nth(1)?.split(' ').next());
        let exposure: f32 = exposure.and_then(|number| number.parse().ok()).unwrap();
        assert!(exposure <= 1.2, "exposure {exposure}:\n{report}");
    }
}

fn the_unit_files_verify() {
    let machine = Machine::with_shibudb();
    let verify = machine.run(
        "systemd-analyze verify --man=no shibudb.service shibudb.socket shibudb@7070.service shibudb@7070.socket",
    );
    assert_eq!((verify.status, verify.stdout.as_str(), verify.stderr.as_str()), (Some(0), "", ""));
}
