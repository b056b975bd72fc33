//! The founding document, to the letter: every command in it is run as printed, against a real server on
//! the ports that it names, and the result must be the printed one.
//!
//! There are two differences: `<server_pid>` is replaced by the server's process id, and `sleep` sleeps
//! until the test wakes it.

mod document;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;

use crate::harness::sandbox::{Sandbox, enter, script};
use crate::harness::{Client, Log, PASSWORD, http, wait_until};
use document::{Request, bash, blocks, commands, json};

const PORT: u16 = 9090;
const MANAGEMENT: u16 = 10090;

/// Every block of commands, by its title. Each has a test below.
const RUN: [&str; 16] = [
    "Health Check",
    "Connection Statistics",
    "Get Current Limit",
    "Set Connection Limit",
    "Increase Limit",
    "Decrease Limit",
    "2. CLI Management Tool",
    "3. Unix Signals",
    "Production Environment",
    "Development Environment",
    "Automated Scaling",
    "Management Server Unavailable",
    "Alerting Examples",
    "1. Start Conservative",
    "4. Plan for Scaling",
    "Benchmarks",
];

/// Blocks about other programs: a terminal's screen, the firewall, another machine.
const NOT_RUN: [(&str, &str); 4] = [
    ("2. Monitor Regularly", "watch -n 30 'shibudb manager 9090 stats'"),
    ("Recommended Security Measures", "iptables -A INPUT -p tcp --dport 10090 -s 127.0.0.1 -j ACCEPT"),
    ("Recommended Security Measures", "iptables -A INPUT -p tcp --dport 10090 -j DROP"),
    ("Recommended Security Measures", "ssh -L 10090:localhost:10090 user@server"),
];

/// Every JSON document, by its title: the expected answers.
const ANSWERS: [&str; 8] = [
    "Health Check",
    "Connection Statistics",
    "Get Current Limit",
    "Set Connection Limit",
    "Increase Limit",
    "Decrease Limit",
    "Setting Limit Below Active Connections",
    "Invalid Limit Value",
];

/// Connections that stay open and logged in until this is dropped.
#[must_use]
fn connections(number: usize) -> Vec<Client> {
    let address: SocketAddr = (Ipv4Addr::LOCALHOST, PORT).into();
    let login = || {
        let mut client = Client::connect(address);
        client.login("admin", PASSWORD);
        client
    };
    (0..number).map(|_| login()).collect()
}

fn limit() -> u64 {
    http::request(MANAGEMENT, "GET", "/limit", None).json()["current_limit"].as_u64().unwrap()
}

fn active() -> u64 {
    http::request(MANAGEMENT, "GET", "/limit", None).json()["active_connections"].as_u64().unwrap()
}

/// Sends the printed request under a title with curl, and compares the answer with the printed one.
#[track_caller]
fn expect_as_printed(sandbox: &Sandbox, title: &str) {
    let Request { method, url, headers, body } = Request::parse(&bash(title));
    assert_eq!(curl(sandbox, &method, &url, &headers, &body), json(title), "{title}");
}

#[track_caller]
fn curl(sandbox: &Sandbox, method: &str, url: &str, headers: &[String], body: &str) -> String {
    let mut curl = sandbox.program("/usr/bin/env".as_ref());
    curl.args(["curl", "-sS", "-X", method, url]);
    curl.args(headers.iter().flat_map(|header| ["-H", header]));
    if !body.is_empty() {
        curl.args(["--data-binary", body]);
    }
    let output = curl.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_block_of_the_document_is_left_out() {
    let mut run = RUN.to_vec();
    let mut not_run = NOT_RUN.to_vec();
    let mut answers = ANSWERS.to_vec();
    let mut others = Vec::new();
    for block in blocks() {
        let title = block.title;
        match block.language {
            "bash" if run.contains(&title) => run.retain(|other| *other != title),
            "bash" => {
                for line in commands(&block.text) {
                    let known = not_run.iter().position(|entry| *entry == (title, line));
                    not_run.remove(known.unwrap_or_else(|| panic!("not run, not listed: {title}: {line}")));
                }
            }
            "json" => {
                let known = answers.iter().position(|other| *other == title);
                answers.remove(known.unwrap_or_else(|| panic!("compared with nothing: {title}")));
            }
            language => others.push(language.to_owned()),
        }
    }
    assert_eq!(
        (run.as_slice(), answers.as_slice()),
        ([].as_slice(), [].as_slice()),
        "gone from the document"
    );
    assert_eq!(not_run, [], "gone from the document");
    // A possible implementation of a connection manager.
    assert_eq!(others, ["go"]);
    for (title, line) in NOT_RUN {
        println!("not run: {title}: {line}");
    }
}

#[test]
fn every_endpoint_answers_as_printed() {
    enter(|sandbox| {
        sandbox.start(1000);
        let _open = connections(45);
        expect_as_printed(sandbox, "Health Check");
        expect_as_printed(sandbox, "Connection Statistics");
        expect_as_printed(sandbox, "Get Current Limit");
        expect_as_printed(sandbox, "Set Connection Limit");
        assert_eq!(limit(), 2000);
        // The next printed result starts from 1000 again.
        http::request(MANAGEMENT, "PUT", "/limit", Some(r#"{"limit":1000}"#));
        expect_as_printed(sandbox, "Increase Limit");
        assert_eq!(limit(), 1500);
        expect_as_printed(sandbox, "Decrease Limit");
        assert_eq!(limit(), 1300);
    });
}

#[test]
fn refusals_are_worded_as_printed() {
    enter(|sandbox| {
        sandbox.start(1000);
        let _open = connections(750);
        let put = |body: &str| {
            let request = Request::parse(&bash("Set Connection Limit"));
            curl(sandbox, &request.method, &request.url, &request.headers, body)
        };
        assert_eq!(put(r#"{"limit":500}"#), json("Setting Limit Below Active Connections"));
        assert_eq!(put(r#"{"limit":0}"#), json("Invalid Limit Value"));
        assert_eq!(put(r#"{"limit":-500}"#), json("Invalid Limit Value"));
        assert_eq!((limit(), active()), (1000, 750));
    });
}

#[test]
fn without_a_server_the_tool_says_so_as_printed() {
    enter(|sandbox| {
        let printed = bash("Management Server Unavailable");
        for command in commands(&bash("2. CLI Management Tool")) {
            // Advice follows below.
            let said = sandbox.fails(command, 1);
            assert!(said.starts_with(&printed), "{command}: {said}");
        }
    });
}

#[test]
fn every_command_of_the_tool() {
    enter(|sandbox| {
        sandbox.start(1000);
        let _open = connections(45);
        assert_eq!(
            sandbox.run(&bash("2. CLI Management Tool")),
            "Connection Status:\nCurrent Limit: 1000\nActive Connections: 45\n\
             Connection Statistics:\nActive Connections: 45\nMax Connections: 1000\n\
             Usage Percentage: 4.5%\nAvailable Slots: 955\n\
             Connection limit updated to 2000\n\
             Connection limit increased from 2000 to 2500\n\
             Connection limit decreased from 2500 to 2300\n\
             Server is healthy\nService: shibudb\n"
        );
        assert_eq!(limit(), 2300);
    });
}

#[test]
fn both_signals() {
    enter(|sandbox| {
        let pid = sandbox.start(1000);
        let block = bash("3. Unix Signals").replace("<server_pid>", &pid);
        let [increase, decrease] = commands(&block)[..] else { panic!("{block}") };
        sandbox.run(increase);
        wait_until("the limit is 1100", || limit() == 1100);
        sandbox.run(decrease);
        wait_until("the limit is 1000", || limit() == 1000);
    });
}

#[test]
fn the_production_environment() {
    enter(|sandbox| {
        let said = sandbox.run(&bash("Production Environment"));
        let (started, rest) = said.split_once('\n').unwrap();
        assert!(
            started.starts_with("shibudb is running: port 9090, management port 10090, limit 1000, PID "),
            "{started}"
        );
        assert_eq!(
            rest,
            "Connection Statistics:\nActive Connections: 0\nMax Connections: 1000\n\
             Usage Percentage: 0.0%\nAvailable Slots: 1000\n\
             Connection limit increased from 1000 to 1500\n\
             Connection limit decreased from 1500 to 1200\n"
        );
        assert_eq!(limit(), 1200);
    });
}

#[test]
fn the_development_environment() {
    enter(|sandbox| {
        let said = sandbox.run(&bash("Development Environment"));
        let (started, rest) = said.split_once('\n').unwrap();
        assert!(started.contains(", limit 100, "), "{started}");
        assert_eq!(rest, "Connection limit updated to 1000\nConnection limit updated to 100\n");
        assert_eq!(limit(), 100);
    });
}

#[test]
fn a_conservative_start() {
    enter(|sandbox| {
        sandbox.run(&bash("1. Start Conservative"));
        assert_eq!(limit(), 500);
    });
}

#[test]
fn the_auto_scaler() {
    enter(|sandbox| {
        sandbox.start(100);
        let path = sandbox.home().join("autoscale.sh");
        script(&path, &bash("Automated Scaling"));
        let mut open = connections(90);
        let mut scaler = sandbox.program(&path).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let said = Log::of(scaler.stdout.take().unwrap());

        assert_eq!(sandbox.wait_for_nap(1), "60");
        said.wait_for("High usage detected: 90");
        assert_eq!(limit(), 300);

        // 30 % is neither high nor low.
        sandbox.wake(1);
        sandbox.wait_for_nap(2);
        assert_eq!(limit(), 300);

        open.truncate(60);
        wait_until("30 have left", || active() == 60);
        sandbox.wake(2);
        sandbox.wait_for_nap(3);
        said.wait_for("Low usage detected: 20");
        assert_eq!(limit(), 200);
        scaler.kill().unwrap();
        scaler.wait().unwrap();
    });
}

#[test]
fn alerts_are_raised() {
    enter(|sandbox| {
        sandbox.start(100);
        let _open = connections(90);
        let alerts = sandbox.bash(&bash("Alerting Examples")).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(sandbox.wait_for_nap(1), "60");
        http::request(MANAGEMENT, "PUT", "/limit", Some(r#"{"limit":150}"#));
        sandbox.wake(1);
        let output = alerts.wait_with_output().unwrap();
        assert!(output.status.success());
        assert_eq!(
            String::from_utf8(output.stdout).unwrap(),
            "WARNING: High connection usage: 90.0%\nINFO: Connection limit changed from 100 to 150\n"
        );
    });
}

#[test]
fn no_alert_is_raised_when_all_is_well() {
    enter(|sandbox| {
        sandbox.start(100);
        let _open = connections(80);
        sandbox.wake(1);
        assert_eq!(sandbox.run(&bash("Alerting Examples")), "");
        assert_eq!(sandbox.wait_for_nap(1), "60");
    });
}

#[test]
fn scripts_for_scaling() {
    enter(|sandbox| {
        sandbox.start(1000);
        sandbox.run(&bash("4. Plan for Scaling"));
        let up = sandbox.run("bash scale_up.sh");
        assert!(up.starts_with("Connection limit increased from 1000 to 1200\n"), "{up}");
        assert!(up.ends_with(": Increased connection limit\n"), "{up}");
        let down = sandbox.run("bash scale_down.sh");
        assert!(down.starts_with("Connection limit decreased from 1200 to 1100\n"), "{down}");
        assert!(down.ends_with(": Decreased connection limit\n"), "{down}");
        assert_eq!(limit(), 1100);
    });
}

#[test]
fn the_benchmarks() {
    enter(|sandbox| {
        sandbox.start(1000);
        assert_eq!(sandbox.run(&bash("Benchmarks")), "Connection limit increased from 1000 to 1100\n");
        assert_eq!(limit(), 1100);
    });
}
