//! The watchdog's probe on a machine where its usual way is blocked. Each test has a separate network.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use super::threads::Stopped;
use crate::harness::ears::Ears;
use crate::harness::{Server, Setup, sandbox};

const WATCHDOG: Duration = Duration::from_secs(2);

const CANNOT_ASK: &str = "the watchdog cannot connect to this server";

fn watched(ears: &Ears, config: &str) -> Server {
    let setup = Setup::new().config(config).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
    ears.of(setup).start()
}

fn hears_word(ears: &Ears) {
    for _ in 0..3 {
        ears.hear("WATCHDOG=1", |message| message.has("WATCHDOG"));
    }
}

/// Restricts this network to two ports for outgoing connections.
fn two_ports() -> [u16; 2] {
    fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001\n").unwrap();
    [40_000, 40_001]
}

#[test]
fn without_ipv6_a_server_on_every_address_is_asked_by_ipv4() {
    sandbox::enter(|_| {
        fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n").unwrap();
        let ears = Ears::new();
        let server = watched(&ears, "bind = \"::\"\n");
        hears_word(&ears);
        assert_eq!(server.active(), 0);
        assert!(!server.log().contains(CANNOT_ASK), "there was a way");
    });
}

#[test]
fn with_all_ports_of_one_address_in_use_it_is_asked_from_another() {
    sandbox::enter(|_| {
        let ears = Ears::new();
        let server = watched(&ears, "# no settings\n");
        let _taken = two_ports().map(|port| TcpListener::bind(("127.0.0.1", port)).unwrap());
        ears.listen(WATCHDOG / 2);
        hears_word(&ears);
        assert!(!server.log().contains(CANNOT_ASK), "there was a way");
    });
}

#[test]
fn with_all_ports_in_use_it_is_judged_by_its_own_threads() {
    sandbox::enter(|_| {
        let ears = Ears::new();
        let server = watched(&ears, "# no settings\n");
        let taken = two_ports().map(|port| TcpListener::bind(("0.0.0.0", port)).unwrap());
        server.wait_for_log(CANNOT_ASK);
        hears_word(&ears);
        assert_eq!(server.log().matches(CANNOT_ASK).count(), 1, "it is told once");
        for name in ["clients-0", "store-commit"] {
            let stopped = Stopped::stop(&server, name);
            ears.listen(WATCHDOG / 2);
            let said = ears.listen(WATCHDOG);
            assert!(!said.iter().any(|message| message.has("WATCHDOG")), "{said:?}");
            stopped.go_on();
            hears_word(&ears);
        }
        drop(taken);
        server.wait_for_log("the watchdog can connect to this server again");
    });
}
