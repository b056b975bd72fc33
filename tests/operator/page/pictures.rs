//! The README's pictures of the page and of `manager watch`, and its recording, taken from a server that has been busy
//! for five minutes. Only `packaging/pictures/take` runs this.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::browser::Browser;
use super::look;
use super::recording::{self, Deed};
use crate::harness::{Client, MAX_WAIT, PASSWORD, Server, Setup, Signal, Terminal};

/// In seconds: the span of the shortest plot.
const SCENE: u64 = 300;

/// The clients: a name, and the last part of the address.
const CLIENTS: [(&str, u8); 5] =
    [("shop", 21), ("shop", 22), ("reports", 31), ("import", 40), ("monitor", 7)];

/// The order in which they connect, repeated.
const TURNS: [usize; 10] = [0, 1, 2, 0, 3, 0, 1, 4, 2, 0];

#[test]
#[ignore = "takes five minutes, and writes to packaging/pictures"]
fn take() {
    let server = Setup::new().config("max_connections = 120\n").start();
    let mut admin = server.admin();
    for user in ["shop", "reports", "import", "monitor"] {
        let new_user = json!({"username": user, "password": PASSWORD, "role": "user"});
        admin.expect_ok(&json!({"type": "CREATE_USER", "new_user": new_user}), "USER_CREATED");
    }
    drop(admin);
    let held = play(&server);
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/pictures");
    take_recording(&server, &directory);
    let Some(browser) = look(&server) else { panic!("pictures need a browser") };
    take_page(&browser, &directory);
    take_watch(&server, &browser, &directory);
    drop(held);
}

/// The course of the same scene.
fn take_recording(server: &Server, directory: &Path) {
    let series = server.get("/series").json();
    let first = series["time"][0].as_f64().unwrap();
    let history = server.get("/history?limit=100").json();
    let deeds: Vec<_> = history["changes"]
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|entry| {
            let time: jiff::Timestamp = entry["time"].as_str().unwrap().parse().unwrap();
            let [old, new] = ["old", "new"].map(|name| entry[name].as_i64());
            let (new, is_refused) = (new.unwrap(), entry["outcome"] == "refused");
            let done = match entry["door"].as_str().unwrap() {
                "startup" => format!("$ shibudb start 9090 {new}"),
                "signal" if Some(new) > old => "$ kill -USR1 PID".to_owned(),
                "signal" => "$ kill -USR2 PID".to_owned(),
                "cli" => format!("$ shibudb manager 9090 limit {new}"),
                "config" => format!("shibudb.toml: max_connections = {new}"),
                _ => format!("PUT /limit {{\"limit\":{new}}}"),
            };
            let outcome = match (entry["reason"].as_str(), old) {
                (Some(reason), _) => format!("\u{a0}\u{a0} refused: {reason}"),
                (None, Some(old)) => format!("\u{a0}\u{a0} {old} \u{2192} {new}"),
                (None, None) => String::new(),
            };
            let second = time.as_duration().as_secs_f64() - first;
            Deed { second, words: done + &outcome, is_refused }
        })
        .collect();
    fs::write(directory.join("limit.svg"), recording::svg(&series, &deeds)).unwrap();
}

/// The page, on a desktop and a phone, light and dark.
fn take_page(browser: &Browser, directory: &Path) {
    browser.click("#span label");
    for (width, density) in [(1280, 1), (390, 2)] {
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.resize(width, 800, density);
            let height = browser.run("return document.documentElement.scrollHeight").as_u64().unwrap();
            browser.resize(width, u32::try_from(height).unwrap(), density);
            // Two frames: one in which the plot gets its size, one in which it is drawn.
            browser.settle();
            fs::write(directory.join(format!("page-{width}-{scheme}.png")), browser.picture()).unwrap();
        }
    }
}

/// The terminal's view. The browser draws it, too, from the terminal's escape codes.
fn take_watch(server: &Server, browser: &Browser, directory: &Path) {
    let Some(terminal) = Terminal::open(100, 30) else { panic!("pictures need a terminal") };
    terminal.enter(&format!("clear; {} manager {} watch", env!("CARGO_BIN_EXE_shibudb"), server.port()));
    terminal.wait_for("q leave");
    terminal.wait_for("startup");
    let home = tempfile::tempdir().unwrap();
    let screen = home.path().join("screen");
    fs::write(&screen, terminal.coloured_screen()).unwrap();
    let aha = Command::new("aha").args(["--black", "--no-header", "-f"]).arg(screen).output().unwrap();
    assert!(aha.status.success(), "{aha:?}");
    // The dots of the plot come from another font; on a grid they must be as wide as letters.
    let style = "body { margin: 0; background: black; color: #ccc } i { display: inline-block; width: 1ch } \
        pre { margin: 0; padding: 12px; display: inline-block; font: 14px/1.17 'DejaVu Sans Mono' }";
    let text = String::from_utf8(aha.stdout).unwrap();
    let text: String = text
        .trim_end()
        .chars()
        .map(|letter| match letter {
            '\u{2800}'..='\u{28FF}' => format!("<i>{letter}</i>"),
            _ => letter.to_string(),
        })
        .collect();
    let html = home.path().join("screen.html");
    fs::write(&html, format!("<meta charset=utf-8><style>{style}</style><pre>{text}</pre>")).unwrap();
    browser.open(&format!("file://{}", html.display()));
    let side = |name: &str| {
        let code = format!("return Math.ceil(document.querySelector('pre').getBoundingClientRect().{name})");
        u32::try_from(browser.run(&code).as_u64().unwrap()).unwrap()
    };
    browser.resize(side("width"), side("height"), 2);
    browser.settle();
    fs::write(directory.join("watch.png"), browser.picture()).unwrap();
}

/// Connections that open and close, a burst above the limit, and the operators' reactions.
fn play(server: &Server) -> Vec<Client> {
    let begun = Instant::now();
    let mut held: Vec<Client> = Vec::new();
    let mut turn = 0;
    for second in 0..SCENE {
        match second {
            75 => server.signal(Signal::USR2),
            118 => server.signal(Signal::USR1),
            170 => assert!(server.manager("limit 300").status.success()),
            205 => assert_eq!(server.put("/limit", r#"{"limit":50}"#).status, 409),
            250 => server.write_config("max_connections = 250\n[storage]\ndurability = \"1s\"\n"),
            270 => server.set_limit(280),
            _ => {}
        }
        let wanted = wanted(second);
        held.truncate(wanted);
        // Rejected clients retry a few times each second, as pools do.
        for _ in 0..wanted.saturating_sub(held.len()).min(14) {
            let (user, host) = CLIENTS[TURNS[turn % TURNS.len()]];
            turn += 1;
            held.extend(connect(server, user, Ipv4Addr::new(127, 0, 1, host)));
        }
        let next = Duration::from_secs(second + 1);
        thread::sleep(next.saturating_sub(begun.elapsed()));
    }
    held
}

/// How many connections there would be without a limit.
fn wanted(second: u64) -> usize {
    let t = f64::from(u32::try_from(second).unwrap());
    let swell = 58.0 + 16.0 * (t / 19.0).sin() + 7.0 * (t / 4.3).sin();
    let burst = if (90.0..190.0).contains(&t) {
        112.0 * ((t - 90.0) / 100.0 * std::f64::consts::PI).sin()
    } else {
        0.0
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred at most")]
    let wanted = (swell + burst + t / 9.0) as usize;
    wanted
}

/// A session from its own address; `None` if it is rejected.
fn connect(server: &Server, user: &str, host: Ipv4Addr) -> Option<Client> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((host, 0)).into()).unwrap();
    socket.connect(&server.address().into()).unwrap();
    socket.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let mut client = Client::of(socket.into());
    client.send(format!("{}\n", json!({"username": user, "password": PASSWORD})));
    client.try_line().ok().flatten().is_some_and(|line| line.contains("\"OK\"")).then_some(client)
}
