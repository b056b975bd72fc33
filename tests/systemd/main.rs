//! shibudb on a Debian machine: installed from its package, under a real, booted systemd.
//!
//! Every test boots a separate machine (see `machine`), so tests share no state and run in parallel. That
//! needs root, systemd-container and debootstrap, so it runs only on request:
//!
//!     SHIBUDB_TEST_ALL=1 cargo test --test systemd
//!
//! Then a machine that cannot be booted is a failure, never a skipped test.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cgroup;
mod image;
mod instances;
mod journal;
mod machine;
mod mishaps;
mod operator;
mod package;
mod reload;
mod sandbox;
mod service;
mod sockets;
mod status;
mod stop;
mod storm;

use libtest_mimic::Arguments;

fn main() {
    let asked_for = std::env::var_os("SHIBUDB_TEST_ALL").is_some_and(|value| value == "1");
    if !asked_for {
        eprintln!(
            "skipped: to boot a machine and test under systemd, run as root, with systemd-container and \
             debootstrap installed: SHIBUDB_TEST_ALL=1 cargo test --test systemd"
        );
    }
    cgroup::Cgroup::sweep();
    let rooms = [
        instances::trials(),
        journal::trials(),
        mishaps::trials(),
        operator::trials(),
        package::trials(),
        reload::trials(),
        sandbox::trials(),
        service::trials(),
        sockets::trials(),
        status::trials(),
        stop::trials(),
    ];
    let trials = rooms.into_iter().flatten().map(|trial| trial.with_ignored_flag(!asked_for)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// One trial for each function of a module, named after it.
macro_rules! trials {
    ($($test:ident),* $(,)?) => {
        vec![$(libtest_mimic::Trial::test(
            concat!(module_path!(), "::", stringify!($test)).trim_start_matches("systemd::"),
            || { $test(); Ok(()) },
        )),*]
    };
}
use trials;
