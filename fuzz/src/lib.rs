//! What must hold for whatever bytes others have written, one function for each thing that reads such.
//!
//! The targets in `fuzz_targets/` call these with bytes made up to break them; `tests/library/corpus.rs` calls
//! them with the corpus, as an ordinary test.

use std::io::Cursor;

use axum::http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use shibudb::config::{self, Difference, Key};
use shibudb::control::{History, stored_again};
use shibudb::import::records::{self, Key as RecordKey, Records};
use shibudb::import::{Source, TornTail};
use shibudb::management::{ApiError, body};
use shibudb::protocol::client::{Answer, spaces};
use shibudb::protocol::{Login, Refusal, Reply, Request, Text};
use shibudb::store::journal_reading::{Rest, SECRET_LEN, read};

/// How many records a history keeps in memory.
const KEPT: usize = 1000;

/// The longest answer to a wrong line: three hundred characters, each at most six when escaped.
const LONGEST_REFUSAL: usize = 300 * 6 + 100;

/// Lines of a database client.
///
/// A line is a request or is answered with what is wrong with it, in one short line of JSON. What a
/// request says is what the line says. A value that is answered arrives as it is.
pub fn protocol(data: &[u8]) {
    for line in data.split(|&byte| byte == b'\n') {
        if let Some(login) = Login::parse(line) {
            assert_eq!(Login::parse(&login.render()), Some(login));
        }
        match Request::parse(line) {
            Ok(request) => {
                says_what_the_line_says(&request, line);
                survives_being_sent(&request);
            }
            Err(error) => {
                let answer = rendered(&Reply::Refused(Refusal::BadRequest(error)));
                assert!(answer.len() <= LONGEST_REFUSAL, "{} bytes", answer.len());
                let answer: Value = serde_json::from_slice(&answer).expect("an answer is JSON");
                assert_eq!(answer["status"], "ERROR");
            }
        }
        let answer: Value =
            serde_json::from_slice(&rendered(&Reply::Value(line))).expect("an answer is JSON");
        assert_eq!(answer["value"], String::from_utf8_lossy(line).as_ref());
        // The other direction: what a server may say to the program's own client.
        if let Ok(Answer::Done(message)) = Answer::parse(line) {
            drop(spaces(&message));
        }
    }
}

/// Compares with what another parser makes of the line.
fn says_what_the_line_says(request: &Request<'_>, line: &[u8]) {
    // It refuses what is nested too deeply, even in fields that do not matter.
    let Ok(fields) = serde_json::from_slice::<Value>(line) else { return };
    let same = |name: &str, text: &Text<'_>| assert_eq!(fields[name].as_str(), Some(&**text), "{name}");
    let same_space = |space: &Option<Text<'_>>| match space {
        Some(space) => same("space", space),
        None => assert!(fields["space"].as_str().is_none_or(str::is_empty)),
    };
    match request {
        Request::Put { space, key, value } => {
            same_space(space);
            same("key", key);
            same("value", value);
        }
        Request::Get { space, key } | Request::Delete { space, key } => {
            same_space(space);
            same("key", key);
        }
        Request::UseSpace { space } => same("space", space),
        Request::ListSpaces => assert_eq!(fields["type"], "LIST_SPACES"),
        Request::Admin(_) | Request::Vector => {}
    }
}

/// What one side writes is what the other reads.
fn survives_being_sent(request: &Request<'_>) {
    let line = request.render();
    assert_eq!(Request::parse(&line).expect("what is rendered can be parsed"), *request);
}

fn rendered(reply: &Reply<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    reply.render(&mut out);
    let last = out.pop();
    assert_eq!(last, Some(b'\n'));
    assert!(!out.contains(&b'\n'), "an answer is one line");
    out
}

/// A config file.
///
/// It is settings that hold together, or problems that each name a place in the file and say something.
pub fn config(data: &[u8]) {
    match config::parse(data) {
        Ok(parsed) => {
            assert_eq!(parsed.config.validate(), Ok(()));
            assert_ne!(parsed.config.port, 0);
            assert!((1..=100).contains(&parsed.config.limits.warn_percent));
            assert!(Difference::between(&parsed.config, &parsed.config).is_empty());
            // Nothing is told of an edit that it did not say. A management port follows the other port.
            let edit = Difference::between(&config::Config::default(), &parsed.config);
            for change in edit.live.iter().chain(&edit.restart) {
                assert!(parsed.set.contains(&change.key) || change.key == Key::ManagementPort, "{change}");
            }
        }
        Err(problems) => {
            let told = problems.to_string();
            assert!(!told.trim().is_empty());
            let lines = data.split(|&byte| byte == b'\n').count();
            for problem in problems.iter() {
                assert!((1..=lines).contains(&problem.position.line), "{told}");
                assert!((1..=data.len() + 1).contains(&problem.position.column), "{told}");
            }
        }
    }
}

/// A body of the management API, with its content type before the first line feed.
///
/// It is a number in its range, or is refused with 400 or 415 and a short reason.
pub fn management(data: &[u8]) {
    let (declared, bytes) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&b"application/json"[..], data),
    };
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(declared) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let refused = |error: ApiError| {
        let (status, error) = (error.status().as_u16(), error.to_string());
        assert!(status == 400 || status == 415, "{status}");
        assert!(!error.is_empty() && error.chars().count() < 300, "{error}");
    };
    match body::limit(&headers, bytes) {
        Ok(limit) => assert!(limit <= 1 << 32),
        Err(error) => refused(error),
    }
    match body::amount(&headers, bytes) {
        Ok(None) => assert!(bytes.is_empty(), "a body that says nothing is no default"),
        Ok(Some(amount)) => assert!(amount.get() <= 1 << 32),
        Err(error) => refused(error),
    }
    if let Err(error) = body::no_fields(&headers, bytes) {
        refused(error);
    }
}

/// A history file.
///
/// What can be read of it is kept up to a bound, and is the same after it was written and read again.
pub fn history(data: &[u8]) {
    let history = History::default();
    let skipped = history.read(data).expect("memory can be read");
    let records = history.latest(usize::MAX);
    assert!(records.len() <= 2 * KEPT, "so many of either outcome");
    assert!(records.len() + usize::try_from(skipped).expect("fits") <= data.len() + 1);

    let mut written = Vec::new();
    for record in records.iter().rev() {
        serde_json::to_writer(&mut written, record).expect("a record can be written");
        written.push(b'\n');
    }
    let again = History::default();
    assert_eq!(again.read(written.as_slice()).expect("memory can be read"), 0);
    assert_eq!(again.latest(usize::MAX), records);
}

/// A file with the limit that was set at run time, as any version of the program may have left it.
///
/// Nothing of it is lost when it is stored again, whether this version knows it or not, and no limit is 0.
pub fn override_file(data: &[u8]) {
    let Ok(stored) = stored_again(data) else { return };
    let read: Value = serde_json::from_slice(data).expect("it was understood");
    for (name, value) in read.as_object().expect("it has fields") {
        match name.as_str() {
            "version" => assert!(stored["version"].as_u64() >= value.as_u64()),
            "limits" if value.as_object().is_some_and(serde_json::Map::is_empty) => {}
            // One moment can be written in many ways.
            "time" => assert!(stored["time"].is_string()),
            name => assert_eq!(stored[name], *value, "{name}"),
        }
    }
    assert_ne!(stored["limit"], 0);
    let text = serde_json::to_vec(&stored).expect("it can be written");
    let again = stored_again(&text).expect("what was stored is understood");
    // Another reading of a number with a fraction may be its neighbour.
    if !has_fraction(&stored) {
        assert_eq!(again, stored);
    }
}

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// A journal of the engine, behind the secret of its store.
///
/// What is intact is read the same by itself, and what follows is not nothing. A secret that is not in the bytes proves
/// nothing.
pub fn journal(data: &[u8]) {
    let Some((secret, journal)) = data.split_first_chunk::<SECRET_LEN>() else { return };
    for secret in [Some(secret), None] {
        let reading = read(journal, secret);
        let (intact, rest) = journal.split_at(reading.intact);
        let alone = read(intact, secret);
        assert_eq!((alone.intact, alone.rest), (intact.len(), Rest::Nothing));
        assert_eq!(reading.rest == Rest::Nothing, rest.iter().all(|&byte| byte == 0));
        if let Some(secret) = secret
            && !rest.windows(SECRET_LEN).any(|window| window == secret)
        {
            assert_ne!(reading.rest, Rest::Damaged);
        }
    }
}

/// A data directory to be taken over: records, or `users.json` and `metadata.json` with a zero byte
/// between them. A first byte `R` tells that it is records.
///
/// Every whole record is read as it was written, what is no whole record is the end, and nothing is
/// lost between the two.
pub fn import(data: &[u8]) {
    if let [b'R', file @ ..] = data {
        return all_whole_records_are_read(file);
    }
    let (users, metadata) = match data.iter().position(|&byte| byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, data),
    };
    if let Err(error) = Source::parse(users, metadata) {
        assert!(error.to_string().contains(".json: "), "{error}");
    }
}

fn all_whole_records_are_read(file: &[u8]) {
    let length = file.len() as u64;
    let mut records = Records::new(Cursor::new(file), length);
    let mut begin = 0;
    while let Some(record) = records.read().expect("memory can be read") {
        let end = usize::try_from(records.position()).expect("fits");
        let (lengths, bytes) = file[begin..end].split_at(8);
        let key_length = u32::from_le_bytes([lengths[0], lengths[1], lengths[2], lengths[3]]);
        let (key, value) = bytes.split_at(key_length as usize);
        match record.key {
            RecordKey::Text(text) => assert_eq!(text.as_bytes(), key),
            RecordKey::Unusable => assert!(str::from_utf8(key).is_err()),
        }
        match record.value {
            records::Value::Bytes(bytes) => assert_eq!(bytes, value),
            records::Value::Deletion => assert!(value.is_empty()),
            records::Value::TooLong => panic!("a value of {} bytes is not too long", value.len()),
        }
        begin = end;
    }
    let bytes = length - begin as u64;
    assert_eq!(records.torn(), (bytes > 0).then_some(TornTail { offset: begin as u64, bytes }));
}
