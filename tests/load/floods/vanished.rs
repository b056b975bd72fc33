//! A client whose machine vanishes while an answer is in flight.

use std::fs;
use std::time::{Duration, Instant};

use crate::harness::sandbox::{Sandbox, enter};
use crate::harness::{PASSWORD, wait_until};

/// Long after the two minutes, and long before the kernel gives up by itself.
const BOUND: Duration = Duration::from_secs(240);

/// Another machine at the other end of a cable.
const NETWORK: &str = r#"
unshare --net /bin/sleep 1000 > far.log 2>&1 &
echo $! > far
while [ "$(readlink /proc/$!/ns/net)" = "$(readlink /proc/$$/ns/net)" ]; do /bin/sleep 0.02; done
ip link add near type veth peer name far
ip link set far netns $!
ip addr add 10.9.0.1/24 dev near
ip link set near up
nsenter -t $! -n bash -c 'ip addr add 10.9.0.2/24 dev far; ip link set far up'
"#;

const CLIENT: &str = r#"
exec 3<> /dev/tcp/10.9.0.1/9090
echo "$LOGIN" >&3
read -r welcome <&3
echo "$welcome" > welcome
until [ -e ask ]; do /bin/sleep 0.02; done
echo '{"type":"LIST_SPACES"}' >&3
touch asked
/bin/sleep 1000
"#;

#[test]
fn a_machine_that_vanishes_with_an_answer_on_its_way_has_no_place_after_two_minutes() {
    enter(|sandbox: &Sandbox| {
        let there = |name: &str| wait_until(name, || sandbox.home().join(name).exists());
        fs::write(sandbox.home().join("shibudb.toml"), "bind = \"10.9.0.1\"\n").unwrap();
        sandbox.run(NETWORK);
        let said = sandbox.run("shibudb start 9090 5 --config shibudb.toml");
        let (_, pid) = said.split_once("PID ").unwrap();
        let pid: String = pid.chars().take_while(char::is_ascii_digit).collect();
        let login = format!("{{\"username\":\"admin\",\"password\":\"{PASSWORD}\"}}");
        fs::write(sandbox.home().join("client"), CLIENT).unwrap();
        sandbox.run(&format!("LOGIN='{login}' nsenter -t $(cat far) -n bash client > client.log 2>&1 &"));
        there("welcome");
        // So that the request is received, and its answer goes to a vanished machine.
        sandbox.run(&format!("kill -STOP {pid}; touch ask"));
        there("asked");
        sandbox.run(&format!("nsenter -t $(cat far) -n ip addr flush dev far; kill -CONT {pid}"));
        let start = Instant::now();
        let active = || sandbox.run("curl -s http://127.0.0.1:10090/limit | jq .active_connections");
        assert_eq!(active().trim(), "1");
        while active().trim() != "0" {
            assert!(start.elapsed() < BOUND, "it still has its place");
            std::thread::sleep(Duration::from_secs(1));
        }
        let unreachable = "shibudb_connections_closed_total{reason=\"unreachable\"} 1";
        let metrics = sandbox.run("curl -s http://127.0.0.1:10090/metrics");
        assert!(metrics.contains(unreachable), "{metrics}");
        sandbox.run("shibudb stop 9090");
    });
}
