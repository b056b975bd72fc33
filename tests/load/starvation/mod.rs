//! Well-behaved clients make progress beside hostile ones that take all they can get.
//!
//! The tests assert that every good request succeeds meanwhile, and print the times (`--nocapture`); the
//! benchmark measures them in the row `starvation`.

mod hostile;

use std::thread;

use serde_json::{Value, json};

use crate::alone;
use crate::harness::{Server, Setup, Times};
use hostile::{Hostile, Means};

/// Little memory for requests, and little time for logins.
const SETTINGS: &str = "\
[client]
login_timeout = \"2s\"
max_request = \"64KiB\"
max_inflight_bytes = \"1MiB\"
";

/// The number of requests of the good clients.
const REQUESTS: usize = 300;
const LOGINS: usize = 20;
const USERS: usize = 5;

fn user(name: &str) -> Value {
    json!({"username": name, "password": "secret", "role": "user", "permissions": {"s": "write"}})
}

fn login_line(name: &str) -> String {
    format!("{}\n", json!({"username": name, "password": "secret"}))
}

fn furnished(setup: Setup) -> Server {
    let server = setup.config(SETTINGS).start();
    let mut admin = server.admin();
    admin.expect_ok(&json!({"type": "CREATE_SPACE", "space": "s"}), "SPACE_CREATED");
    for name in ["good", "bad"] {
        admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": user(name)}), "USER_CREATED");
    }
    let large = json!({"type": "PUT", "space": "s", "key": "large", "value": "x".repeat(50_000)});
    admin.expect_ok(&large, "OK");
    server
}

/// How long each of `count` requests took.
fn timed(count: usize, mut request: impl FnMut(usize)) -> Times {
    let mut times = Times::default();
    (0..count).for_each(|number| times.measure(|| request(number)));
    times
}

#[test]
fn good_clients_get_their_work_done_beside_bad_ones_of_every_kind() {
    let _alone = alone();
    let server = furnished(Setup::new().limit(600));
    let mut session = server.login("good", "secret");
    let mut admin = server.admin();
    let means = Means { server: server.address(), login: login_line("bad"), victim: "good".to_owned() };
    let hostile = Hostile::begin(&means);
    thread::scope(|scope| {
        let requests = scope.spawn(move || {
            timed(REQUESTS, |number| {
                let key = format!("key {}", number % 10);
                let put = json!({"type": "PUT", "space": "s", "key": key, "value": "v"});
                session.expect_ok(&put, "OK");
                let get = session.ask(&json!({"type": "GET", "space": "s", "key": key}));
                assert_eq!(get["value"], "v");
            })
        });
        let logins = scope.spawn(|| timed(LOGINS, |_| drop(server.login("good", "secret"))));
        let users = scope.spawn(move || {
            timed(USERS, |number| {
                let name = format!("new {number}");
                admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": user(&name)}), "USER_CREATED");
            })
        });
        let mut management = timed(50, |_| assert_eq!(server.get("/stats").status, 200));
        requests.join().unwrap().report("requests of a session, two each");
        logins.join().unwrap().report("logins");
        users.join().unwrap().report("new users");
        management.report("GET /stats");
    });
    drop(hostile);
}

/// As many clients as the limit, which all close and connect again at once.
#[test]
fn clients_that_make_room_on_a_full_server_have_it_again() {
    const CLIENTS: usize = 20;
    let server = furnished(Setup::new().limit(u32::try_from(CLIENTS).unwrap()));
    server.wait_until_active(0);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.login("good", "secret")).collect();
    for round in 0..50 {
        clients.clear();
        for number in 0..CLIENTS {
            let mut client = server.connect();
            client.send(login_line("good"));
            let answer = client.line().unwrap();
            assert!(answer.contains("\"OK\""), "round {round}, client {number}: {answer}");
            clients.push(client);
        }
    }
}
