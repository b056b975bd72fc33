//! The examples that the package ships.

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::sandbox::enter;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/examples").join(name)
}

#[test]
fn the_limit_goes_up_and_down_with_the_load() {
    enter(|sandbox| {
        sandbox.start(1000);
        let program = example("autoscale");
        let mut autoscale = sandbox.program(&program).arg("9090").spawn().unwrap();
        // Without clients the limit decreases in each round, down to the floor.
        let limit = || sandbox.run("shibudb manager 9090 status | awk '/^Current Limit:/ { print $3 }'");
        for (nap, expected) in ["900", "800", "700", "600", "500", "500"].into_iter().enumerate() {
            assert_eq!(sandbox.wait_for_nap(nap + 1), "60");
            assert_eq!(limit().trim(), expected);
            sandbox.wake(nap + 1);
        }
        sandbox.wait_for_nap(7);
        sandbox.run("shibudb manager 9090 limit 5");
        let _clients: Vec<_> =
            (0..5).map(|_| std::net::TcpStream::connect("127.0.0.1:9090").unwrap()).collect();
        crate::harness::wait_until("all are counted", || {
            sandbox.run("shibudb manager 9090 status").contains("Active Connections: 5\n")
        });
        sandbox.wake(7);
        sandbox.wait_for_nap(8);
        assert_eq!(limit().trim(), "205");
        // Without a server it keeps retrying.
        sandbox.run("shibudb stop 9090");
        sandbox.wake(8);
        sandbox.wait_for_nap(9);
        autoscale.kill().unwrap();
        autoscale.wait().unwrap();
    });
}

#[test]
fn the_settings_of_an_instance_are_valid_and_where_its_unit_has_them() {
    let path = example("instance.toml");
    let parsed = shibudb::config::load(&path).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let unit = include_str!("../../../packaging/systemd/shibudb@.service");
    let name = parsed.config.port.to_string();
    for (setting, prefix) in [("StateDirectory", "/var/lib/"), ("RuntimeDirectory", "/run/")] {
        let directory = unit.lines().find_map(|line| line.strip_prefix(setting)?.strip_prefix('=')).unwrap();
        let directory = format!("{prefix}{}", directory.replace("%i", &name));
        assert!(text.contains(&directory), "{directory}");
    }
}
