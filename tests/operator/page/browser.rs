//! A headless Chromium, driven through chromedriver by the W3C's WebDriver protocol: a request for each step.
//!
//! The protocol is JSON over HTTP, for which this project has a client anyway; the part used here is smaller than
//! the dependencies of a crate for the whole protocol.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::wait_until;

/// Enter, as WebDriver types it.
pub(crate) const ENTER: &str = "\u{E007}";
pub(crate) const ESCAPE: &str = "\u{E00C}";
pub(crate) const TAB: &str = "\u{E004}";

/// The key with which an answer of WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window and a temporary profile.
pub(crate) struct Browser {
    driver: Child,
    runtime: Runtime,
    client: reqwest::Client,
    /// The session's URL.
    session: String,
    _alone: File,
}

/// Why no browser can run here; `None` if one can.
pub(crate) fn missing() -> Option<String> {
    ["chromium", "chromedriver"].into_iter().find_map(|program| {
        let said = Command::new(program).arg("--version").output();
        (!said.is_ok_and(|output| output.status.success())).then(|| format!("needs the program {program}"))
    })
}

/// Waits until no other browser runs: several would compete with each other, and with timed tests, for the processor. A
/// file lock, since tests in a sandbox are separate processes.
fn turn() -> File {
    let file = File::open(std::env::current_exe().unwrap()).unwrap();
    file.lock().unwrap();
    file
}

impl Browser {
    pub(crate) fn start() -> Self {
        let alone = turn();
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines
            .find_map(|line| {
                let line = line.unwrap();
                let (_, port) = line.split_once("started successfully on port ")?;
                Some(port.trim_end_matches('.').to_owned())
            })
            .unwrap();
        // It must never wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let session = format!("http://127.0.0.1:{port}");
        let mut browser = Self { driver, runtime, client, session, _alone: alone };
        let answer = browser.call(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
                "goog:chromeOptions": {"args": [
                    "--headless=new",
                    // Chromium's sandbox does not work as root, and only the server's own page is opened.
                    "--no-sandbox",
                    "--disable-dev-shm-usage",
                    "--no-proxy-server",
                    "--no-first-run",
                    "--hide-scrollbars",
                    "--window-size=1280,900",
                ]},
            }}}),
        );
        browser.session += &format!("/session/{}", answer["sessionId"].as_str().unwrap());
        browser
    }

    /// One step. The test fails if it is impossible.
    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let request = self.client.request(method.parse().unwrap(), url);
        let request = if method == "POST" { request.json(body) } else { request };
        let answer: Value = self
            .runtime
            .block_on(async { request.send().await.unwrap().json().await })
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{method} {path}: {value:#}");
        value
    }

    #[track_caller]
    pub(crate) fn open(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url}));
    }

    #[track_caller]
    pub(crate) fn reload(&self) {
        self.call("POST", "/refresh", &json!({}));
    }

    /// Runs `code` in the page and returns its result.
    #[track_caller]
    pub(crate) fn run(&self, code: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({"script": code, "args": []}))
    }

    /// The text of the first element that matches, as it is shown; empty if there is none.
    #[track_caller]
    pub(crate) fn text(&self, selector: &str) -> String {
        let code = format!("return document.querySelector({})?.innerText ?? ''", json!(selector));
        self.run(&code).as_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_for_text(&self, selector: &str, text: &str) {
        wait_until(&format!("{selector} says {text:?}"), || self.text(selector) == text);
    }

    fn element(&self, selector: &str) -> String {
        let found = self.call("POST", "/element", &json!({"using": "css selector", "value": selector}));
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks as a user would; covered or invisible elements cannot be clicked.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        self.call("POST", &format!("/element/{}/click", self.element(selector)), &json!({}));
    }

    #[track_caller]
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let path = format!("/element/{}", self.element(selector));
        self.call("POST", &format!("{path}/clear"), &json!({}));
        self.call("POST", &format!("{path}/value"), &json!({"text": text}));
    }

    /// Presses keys, wherever the focus is.
    #[track_caller]
    pub(crate) fn press(&self, keys: &str) {
        let strokes: Vec<_> = keys
            .chars()
            .flat_map(|key| {
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": strokes});
        self.call("POST", "/actions", &json!({"actions": [keyboard]}));
    }

    /// New entries of the console or network log since the last call.
    #[track_caller]
    pub(crate) fn log(&self, kind: &str) -> Vec<Value> {
        self.call("POST", "/se/log", &json!({"type": kind})).as_array().unwrap().clone()
    }

    /// A command of Chromium's own, beyond WebDriver.
    #[track_caller]
    pub(crate) fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.call("POST", "/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Resizes the window, on a screen with `density` dots per pixel; a narrow one is a phone.
    pub(crate) fn resize(&self, width: u32, height: u32, density: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({"width": width, "height": height, "deviceScaleFactor": density, "mobile": width < 600}),
        );
    }

    /// Waits until pending changes are on the screen.
    pub(crate) fn settle(&self) {
        let frames = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 300)))";
        self.call("POST", "/execute/async", &json!({"script": frames, "args": []}));
    }

    /// The window as a PNG.
    pub(crate) fn picture(&self) -> Vec<u8> {
        let shot = self.call("GET", "/screenshot", &json!({}));
        base64(shot.as_str().unwrap())
    }

    /// `light` or `dark`.
    pub(crate) fn prefer(&self, scheme: &str) {
        let feature = json!({"name": "prefers-color-scheme", "value": scheme});
        self.devtools("Emulation.setEmulatedMedia", &json!({"features": [feature]}));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Closes the window and ends Chromium; without it, killing the driver would leave that behind.
        let request = self.client.delete(&self.session).send();
        self.runtime.block_on(request).ok();
        self.driver.kill().ok();
        self.driver.wait().ok();
    }
}

/// The bytes behind a text in base64.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits: Vec<u32> = text
        .bytes()
        .filter(|byte| *byte != b'=')
        .map(|byte| u32::try_from(DIGITS.iter().position(|digit| *digit == byte).unwrap()).unwrap())
        .collect();
    let groups = digits.chunks(4).flat_map(|group| {
        let bits = group.iter().enumerate().fold(0, |bits, (at, digit)| bits | digit << (26 - 6 * at));
        bits.to_be_bytes().into_iter().take(group.len() - 1)
    });
    groups.collect()
}
