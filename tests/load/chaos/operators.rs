//! Operators that change the limit through every door, with valid and invalid requests.

use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

use super::scene::{ConfigFile, Dice, Scene, Whereabouts};
use crate::harness::{MAX_WAIT, Signal};

/// The range in which the limit is set. Steps may leave it.
pub(crate) const LOWEST: u64 = 3;
pub(crate) const HIGHEST: u64 = 30;
pub(crate) const STEP: u64 = 5;

/// The requests of each door, for comparison with the history.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) http: Mutex<Door>,
    pub(crate) cli: Mutex<Door>,
}

/// The attempts through one door that must have left records.
#[derive(Default)]
pub(crate) struct Door {
    /// Life, revision and limit of each change that was answered as applied.
    pub(crate) applied: Vec<(u64, u64, u64)>,
    pub(crate) succeeded: u64,
    pub(crate) refused: u64,
    /// Sent to a server that was killed before it answered.
    pub(crate) unanswered: u64,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) revision: Option<u64>,
    pub(crate) json: Value,
}

pub(crate) fn request(there: Whereabouts, method: &str, path: &str, body: &str) -> io::Result<Answer> {
    let port = there.management_port;
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), MAX_WAIT)?;
    stream.set_read_timeout(Some(MAX_WAIT))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: \"")?.strip_suffix('"'));
    Ok(Answer {
        status,
        revision: tag.map(|tag| tag.rsplit('-').next().unwrap().parse().unwrap()),
        // A server that was killed while it wrote has written half of it.
        json: serde_json::from_str(body).map_err(|_| ErrorKind::UnexpectedEof)?,
    })
}

/// Through HTTP. An answered change is in force, and a refusal has the documented message.
pub(crate) fn over_http(scene: &Scene, told: &Told, mut dice: Dice) {
    while !scene.is_over() {
        let gate = scene.gate.read().unwrap();
        let there = scene.whereabouts();
        let amount = format!(r#"{{"amount":{}}}"#, 1 + dice.below(2 * STEP));
        let (method, path, body) = match dice.below(12) {
            0..4 => ("POST", "/limit/increase", amount),
            4..7 => ("POST", "/limit/decrease", amount),
            7 => ("POST", "/limit/reset", String::new()),
            8 => ("PUT", "/limit", r#"{"limit":0}"#.to_owned()),
            9 => ("PUT", "/limit", r#"{"limit":4000000000}"#.to_owned()),
            10 => ("PUT", "/limit", r#"{"limit":"many"}"#.to_owned()),
            _ => ("PUT", "/limit", format!(r#"{{"limit":{}}}"#, LOWEST + dice.below(HIGHEST - LOWEST))),
        };
        let start = Instant::now();
        let answer = request(there, method, path, &body);
        match answer {
            Ok(answer) => {
                let took = u64::try_from(start.elapsed().as_millis()).unwrap();
                scene.counts.most("ms, the slowest answer of management", took);
                note(scene, told, there, &answer);
            }
            Err(error) => {
                assert!(scene.is_past(there.life), "{method} {path}: {error}, and it was not killed");
                told.http.lock().unwrap().unanswered += 1;
            }
        }
        drop(gate);
        std::thread::sleep(dice.millis(0, 8));
    }
}

/// Checks an answer against the rules, and keeps it for the comparison with the history.
pub(crate) fn note(scene: &Scene, told: &Told, there: Whereabouts, answer: &Answer) {
    let error = answer.json["error"].as_str().unwrap_or_default();
    match answer.status {
        200 => {
            let (revision, limit) = (answer.revision.unwrap(), answer.json["new_limit"].as_u64().unwrap());
            let mut http = told.http.lock().unwrap();
            http.applied.push((there.life, revision, limit));
            http.succeeded += 1;
            drop(http);
            scene.counts.add("changes through http", 1);
            // A reply means applied: from now on, reads return this change or a later one.
            if let Ok(seen) = request(there, "GET", "/limit", "") {
                assert!(seen.revision.unwrap() >= revision, "a change is not seen after its answer");
            }
        }
        400 if error.starts_with("limit must be a whole number") => {
            scene.counts.add("malformed requests, refused", 1);
        }
        400 | 409 => {
            let documented = error == "connection limit must be positive"
                || error.starts_with("cannot set limit to ")
                    && (error.ends_with(" connections are active") || error.contains("(open-file limit "));
            assert!(documented, "{error}");
            told.http.lock().unwrap().refused += 1;
            scene.counts.add("changes refused through http", 1);
        }
        status => panic!("{status}: {}", answer.json),
    }
}

/// With `shibudb manager`.
pub(crate) fn on_the_command_line(scene: &Scene, told: &Told, mut dice: Dice) {
    while !scene.is_over() {
        let gate = scene.gate.read().unwrap();
        let server = scene.server.read().unwrap();
        let amount = 1 + dice.below(STEP);
        let words = match dice.below(4) {
            0 => format!("limit {}", LOWEST + dice.below(HIGHEST - LOWEST)),
            1 => format!("decrease {amount}"),
            2 => "status".to_owned(),
            _ => format!("increase {amount}"),
        };
        let output = server.manager(&words);
        drop((server, gate));
        if words != "status" {
            let mut cli = told.cli.lock().unwrap();
            match output.status.code() {
                Some(0) => cli.succeeded += 1,
                Some(1) => cli.refused += 1,
                _ => panic!("{output:?}"),
            }
            drop(cli);
            let error = String::from_utf8_lossy(&output.stderr);
            let documented = error.is_empty()
                || error.starts_with("Error: cannot set limit to ")
                || error == "Error: connection limit must be positive\n"
                // On a full disk.
                || error.starts_with("Warning: the limit is in effect");
            assert!(documented, "{error}");
        }
        scene.counts.add("commands of shibudb manager", 1);
        std::thread::sleep(dice.millis(10, 60));
    }
}

/// With signals.
pub(crate) fn by_signal(scene: &Scene, mut dice: Dice) {
    while !scene.is_over() {
        let gate = scene.gate.read().unwrap();
        let signal = match dice.below(5) {
            0 | 1 => Signal::USR1,
            2 | 3 => Signal::USR2,
            _ => Signal::HUP,
        };
        scene.server.read().unwrap().signal(signal);
        drop(gate);
        scene.counts.add("signals", 1);
        std::thread::sleep(dice.millis(5, 50));
    }
}

/// In the config file: good edits and broken ones, in place and by renaming.
pub(crate) fn in_the_file(scene: &Scene, mut dice: Dice) {
    while !scene.is_over() {
        let gate = scene.gate.read().unwrap();
        let mut file = scene.file.lock().unwrap();
        let limit = u32::try_from(LOWEST + dice.below(HIGHEST - LOWEST)).unwrap();
        let good = text(limit);
        let edit = match dice.below(5) {
            0 => "max_connections = \"many\"\n".to_owned(),
            1 => format!("{good}[limts]\n"),
            2 => good[..good.len() / 2 + 3].to_owned(),
            _ => good,
        };
        // On a full disk the written text is truncated, which is another broken edit.
        let written = write_file(scene, &edit, dice.below(2) == 0);
        let broken = written.is_err() || edit != text(limit);
        if !broken {
            file.max_connections = limit;
        }
        file.broken = broken;
        scene.counts.add(if broken { "broken edits of the file" } else { "good edits of the file" }, 1);
        drop((file, gate));
        std::thread::sleep(dice.millis(20, 300));
    }
}

/// The text of a good config file.
pub(crate) fn text(max_connections: u32) -> String {
    format!(
        "max_connections = {max_connections}\n[limits]\nsignal_step = {STEP}\n[client]\nlogin_timeout = \"2s\"\n"
    )
}

fn write_file(scene: &Scene, text: &str, by_renaming: bool) -> io::Result<()> {
    let path = scene.server.read().unwrap().config_path();
    if by_renaming {
        let other = path.with_extension("new");
        fs::write(&other, text)?;
        fs::rename(other, path)
    } else {
        fs::write(path, text)
    }
}

/// Leaves a file that a server can start with.
pub(crate) fn mend(scene: &Scene, file: &mut ConfigFile) {
    if file.broken {
        write_file(scene, &text(file.max_connections), true).unwrap();
        file.broken = false;
    }
}
