//! If the sandbox of a service causes an error, the message names the setting that permits the operation. The tests
//! set systemd's process id variable, so that the server believes that systemd started it.

use crate::harness::sandbox::enter;

/// Starts the rest as a service.
const AS_SERVICE: &str = "export SYSTEMD_EXEC_PID=$$; exec";

#[test]
fn a_directory_outside_of_the_sandbox() {
    enter(|sandbox| {
        sandbox.run("mkdir /run/data && mount -t tmpfs -o ro tmpfs /run/data");
        for (data, begins) in [
            (
                "/run/data",
                "Error: data directory /run/data is not usable: Read-only file system (os error 30)",
            ),
            ("/run/data/new", "Error: cannot create /run/data/new: Read-only file system (os error 30)"),
        ] {
            let said = sandbox.fails(&format!("{AS_SERVICE} shibudb run 9090 --data-dir {data}"), 1);
            assert!(said.starts_with(begins) && said.contains("ReadWritePaths="), "{said}");
            // Without systemd it is an ordinary read-only disk.
            let said = sandbox.fails(&format!("shibudb run 9090 --data-dir {data}"), 1);
            assert_eq!(said, format!("{begins}\n"));
        }
        std::fs::write(sandbox.home().join("c.toml"), "[management]\nsocket = \"/run/data/socket\"\n")
            .unwrap();
        let said = sandbox.fails(&format!("{AS_SERVICE} shibudb run 9090 --config c.toml"), 1);
        assert!(
            said.contains("cannot listen on /run/data/socket") && said.contains("ReadWritePaths="),
            "{said}"
        );
    });
}

#[test]
fn a_port_of_roots() {
    enter(|sandbox| {
        let somebody = "unshare --user --map-user=1000 --map-group=1000 bash -c";
        for (how, advice) in [
            (AS_SERVICE, ": add AmbientCapabilities=CAP_NET_BIND_SERVICE and CapabilityBoundingSet="),
            ("exec", "; choose a higher one\n"),
        ] {
            let said = sandbox.fails(&format!("{somebody} '{how} shibudb run 80 --data-dir data'"), 78);
            let begins = "Error: cannot listen on 127.0.0.1:80 for clients: Permission denied (os error 13); a port \
                          below 1024 needs the capability CAP_NET_BIND_SERVICE";
            assert!(said.contains(begins) && said.contains(advice), "{said}");
        }
    });
}
