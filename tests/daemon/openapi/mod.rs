//! The management API's own description, and whether the server conforms to it: also with schemathesis
//! from PyPI, in a virtual environment that the test makes once under `target/`.

use std::collections::BTreeSet;
use std::process::Command;

use crate::harness::{Setup, skipped};
use crate::venv;
use serde_json::Value;

const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// An out-of-range number with an outdated revision is refused for the revision.
const SETTINGS: &str =
    "[checks.negative_data_rejection]\nexpected-statuses = [400, 403, 405, 409, 412, 413, 415]\n";

/// The names in an object.
fn names(object: &Value) -> BTreeSet<&str> {
    object.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn it_names_every_endpoint() {
    let server = Setup::new().start();
    let reply = server.get("/openapi.json");
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut endpoints = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        endpoints.extend(names(item).iter().map(|method| format!("{method} {path}")));
    }
    endpoints.sort();
    let expected = [
        "delete /connections/{id}",
        "get /config",
        "get /connections",
        "get /events",
        "get /health",
        "get /history",
        "get /limit",
        "get /metrics",
        "get /openapi.json",
        "get /rejections",
        "get /series",
        "get /stats",
        "post /limit/decrease",
        "post /limit/increase",
        "post /limit/reset",
        "post /reload",
        "put /limit",
    ];
    assert_eq!(endpoints, expected);
}

#[test]
fn what_it_says_of_an_answer_is_all_there_is() {
    let server = Setup::new().start();
    let document = server.get("/openapi.json").json();
    for (method, path, body) in [
        ("get", "/health", ""),
        ("get", "/stats", ""),
        ("get", "/limit", ""),
        ("get", "/history", ""),
        ("get", "/config", ""),
        ("get", "/series", ""),
        ("get", "/rejections", ""),
        ("put", "/limit", r#"{"limit":50}"#),
        ("post", "/limit/increase", r#"{"amount":5}"#),
        ("post", "/limit/decrease", r#"{"amount":5}"#),
        ("post", "/limit/reset", "{}"),
        ("post", "/reload", "{}"),
    ] {
        let reply = match method {
            "get" => server.get(path),
            "put" => server.put(path, body),
            _ => server.post(path, body),
        };
        assert_eq!(reply.status, 200, "{}", reply.body);
        let content = &document["paths"][path][method]["responses"]["200"]["content"];
        let schema = content["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = document.pointer(schema.trim_start_matches('#')).unwrap();
        let mut described = names(&schema["properties"]);
        // Absent without problems, and with a config file.
        described.remove("troubled_files");
        // Only for a server started with `start`.
        described.remove("log_file");
        described.remove("awaited_file");
        assert_eq!(described, names(&reply.json()), "{method} {path}");
    }
}

/// The checks that every request must pass can answer any operation.
#[test]
fn every_operation_names_what_the_way_in_may_answer() {
    let server = Setup::new().start();
    let document = server.get("/openapi.json").json();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let statuses = names(&operation["responses"]);
            for status in ["400", "403", "408", "413", "421", "431", "503"] {
                assert!(statuses.contains(status), "{method} {path} may answer {status}: {statuses:?}");
            }
        }
    }
    let foreign =
        server.send_raw("GET /stats HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n");
    assert_eq!(foreign.status, 403);
}

/// Runs schemathesis on a server, with the part of its document that `left` selects.
fn try_all(left: impl FnOnce(Value) -> Value) {
    let python = match venv::make("schemathesis", SCHEMATHESIS, "schemathesis") {
        Ok(python) => python,
        Err(reason) => return skipped(&reason),
    };
    let server = Setup::new().start();
    let dir = tempfile::tempdir().unwrap();
    let (settings, document) = (dir.path().join("schemathesis.toml"), dir.path().join("openapi.json"));
    std::fs::write(&settings, SETTINGS).unwrap();
    std::fs::write(&document, left(server.get("/openapi.json").json()).to_string()).unwrap();
    let output = Command::new(python.with_file_name("schemathesis"))
        .arg("--config-file")
        .arg(&settings)
        .arg("run")
        .arg(&document)
        .arg(format!("--url=http://127.0.0.1:{}", server.management_port()))
        // Deterministic: a test with different findings each time proves nothing by passing.
        .args(["--seed=1", "--max-examples=50", "--continue-on-failure", "--no-color", "--checks=all"])
        // Requests that are valid by the schema may be refused: it takes 1000.0 for an integer, and the amount by
        // which the limit can be lowered depends on the limit.
        .arg("--exclude-checks=positive_data_acceptance")
        // The answer has no end, for which it would wait.
        .arg("--exclude-path=/events")
        .current_dir(dir.path())
        .env("NO_PROXY", "127.0.0.1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let cases = said.lines().find(|line| line.contains(" generated,")).unwrap_or_else(|| panic!("{said}"));
    println!("schemathesis: {}", cases.trim());
    assert_eq!(server.get("/health").status, 200);
}

#[test]
fn schemathesis_gets_no_answer_that_is_not_in_it() {
    try_all(|document| document);
}

/// Nearly every generated condition fails, so the run above tests little else.
#[test]
fn schemathesis_gets_none_without_conditions_either() {
    try_all(|mut document| {
        for item in document["paths"].as_object_mut().unwrap().values_mut() {
            for operation in item.as_object_mut().unwrap().values_mut() {
                if let Some(parameters) = operation.get_mut("parameters").and_then(Value::as_array_mut) {
                    parameters.retain(|parameter| parameter["name"] != "If-Match");
                }
            }
        }
        document
    });
}
