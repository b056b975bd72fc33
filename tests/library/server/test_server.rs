//! A server on a separate port, with a real store and real accounts, and clients for it.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shibudb::auth::{Accounts, HashCost};
use shibudb::limiter::Limiter;
use shibudb::server::{ClientSettings, ConnectionInfo, Drained, Ended, Server, Services};
use shibudb::store::{Durability, Store};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Longer than any wait takes on the slowest machine.
pub(crate) const MAX_WAIT: Duration = Duration::from_secs(20);

pub(crate) const DEFAULTS: ClientSettings = ClientSettings {
    login_timeout: Duration::from_secs(60),
    idle_timeout: None,
    request_timeout: Duration::from_secs(60),
    max_request: 1024 * 1024,
    max_inflight: 256 * 1024 * 1024,
};

/// A running server. Its admin is `admin` with the password `secret`.
pub(crate) struct TestServer {
    runtime: Runtime,
    pub(crate) limiter: Limiter,
    pub(crate) settings: watch::Sender<ClientSettings>,
    pub(crate) address: SocketAddr,
    server: Option<Server>,
    _dir: TempDir,
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

impl TestServer {
    pub(crate) fn new(limit: u32) -> Self {
        Self::with_settings(limit, DEFAULTS)
    }

    pub(crate) fn with_settings(limit: u32, settings: ClientSettings) -> Self {
        Self::with_workers(limit, settings, 1)
    }

    pub(crate) fn with_workers(limit: u32, settings: ClientSettings, workers: usize) -> Self {
        Self::with_ceiling(limit, 100_000, settings, workers)
    }

    pub(crate) fn with_ceiling(limit: u32, ceiling: u32, settings: ClientSettings, workers: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _inside = runtime.enter();
        let limiter =
            Limiter::new(NonZeroU32::new(limit).unwrap(), NonZeroU32::new(ceiling).unwrap()).unwrap();
        let store = Store::open(dir.path(), Durability::Always).unwrap();
        let accounts = Accounts::open(store.clone(), HashCost { memory_kib: 8, passes: 1 }).unwrap();
        runtime.block_on(accounts.ensure_admin(Some("secret"), dir.path())).unwrap();
        let (settings, receiver) = watch::channel(settings);
        let services =
            Services { limiter: limiter.clone(), store, accounts: accounts.clone(), settings: receiver };
        let server =
            Server::start_with(TcpListener::bind("127.0.0.1:0").unwrap(), services, workers).unwrap();
        let address = server.address();
        drop(_inside);
        Self { runtime, limiter, settings, address, server: Some(server), _dir: dir }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(MAX_WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::of(stream)
    }

    pub(crate) fn login(&self, username: &str, password: &str) -> Client {
        let mut client = self.connect();
        let answer = client.ask(&json!({"username": username, "password": password}));
        assert_eq!(answer["status"], "OK", "{answer}");
        client
    }

    /// A client whose login is being checked, with far more pending input than the server reads at once; and the id
    /// of its connection.
    pub(crate) fn slow_login(&self) -> (Client, u64) {
        let user = json!({"username": "slow", "password": "secret"});
        self.admin().expect_ok(&json!({"type": "CREATE_USER", "new_user": user}), "USER_CREATED");
        // After so many logins that failed, the next from this address waits for its turn.
        for number in 0..14 {
            let answer = self.connect().ask(&json!({"username": "slow", "password": number.to_string()}));
            assert_eq!(answer, error("authentication failed"));
        }
        let mut client = self.connect();
        let requests = "{\"type\":\"LIST_SPACES\"}\n".repeat(4000);
        client.send(format!("{user}\n{requests}"));
        let address = client.stream.get_ref().local_addr().unwrap();
        let mut id = 0;
        wait_until("its login is being checked", || {
            let found = self.roster().into_iter().find(|connection| connection.peer == address);
            found.is_some_and(|connection| {
                id = connection.id;
                connection.requests == 1
            })
        });
        (client, id)
    }

    pub(crate) fn admin(&self) -> Client {
        self.login("admin", "secret")
    }

    /// An admin, and a space `s` that it uses.
    pub(crate) fn admin_in_space(&self) -> Client {
        let mut admin = self.admin();
        admin.expect_ok(
            &json!({"type": "CREATE_SPACE", "space": "s", "engine_type": "key-value"}),
            "SPACE_CREATED",
        );
        admin.expect_ok(&json!({"type": "USE_SPACE", "space": "s"}), "SPACE_CHANGED");
        admin
    }

    pub(crate) fn active(&self) -> u32 {
        self.limiter.snapshot().active
    }

    pub(crate) fn wait_until_active(&self, active: u32) {
        wait_until(&format!("{active} connections are active"), || self.active() == active);
    }

    pub(crate) fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn roster(&self) -> Vec<ConnectionInfo> {
        self.runtime.block_on(self.server().roster().connections())
    }

    pub(crate) fn end(&self, id: u64) -> Option<Ended> {
        self.runtime.block_on(self.server().roster().end(id))
    }

    pub(crate) fn probe(&self) {
        self.runtime.block_on(self.server().prober().probe(Duration::from_secs(30))).unwrap();
    }

    pub(crate) fn stop_accepting(&mut self) {
        let stopped = self.server.as_mut().unwrap().stop_accepting();
        self.runtime.block_on(async { tokio::time::timeout(MAX_WAIT, stopped).await }).expect("it stops");
    }

    pub(crate) fn drain(&mut self, timeout: Duration) -> Drained {
        let server = self.server.take().unwrap();
        let drain = async {
            tokio::time::timeout(timeout + MAX_WAIT, server.drain(tokio::time::sleep(timeout))).await
        };
        self.runtime.block_on(drain).expect("it ends")
    }
}

impl Client {
    pub(crate) fn of(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// One line without its line feed, or `None` at a clean end of file.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.ends_with('\n').then(|| line.trim_end_matches('\n').to_owned())
    }

    pub(crate) fn answer(&mut self) -> Value {
        serde_json::from_str(&self.line().expect("an answer, not the end")).unwrap()
    }

    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n"));
        self.answer()
    }

    #[track_caller]
    pub(crate) fn expect_ok(&mut self, request: &Value, message: &str) {
        assert_eq!(self.ask(request), json!({"status": "OK", "message": message}), "{request}");
    }

    #[track_caller]
    pub(crate) fn expect_error(&mut self, request: &Value, message: &str) {
        assert_eq!(self.ask(request), error(message), "{request}");
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) {
        self.expect_ok(&json!({"type": "PUT", "key": key, "value": value}), "OK");
    }

    /// The login and the first requests are answered, then the connection ends cleanly, whatever else the client
    /// has sent.
    #[track_caller]
    pub(crate) fn expect_welcome_answers_and_end(&mut self) {
        assert_eq!(self.answer()["user"]["username"], "slow");
        let mut answered = 0;
        while let Some(answer) = self.line() {
            assert!(answer.contains("spaces"), "{answer}");
            answered += 1;
        }
        assert!((1..4000).contains(&answered), "{answered} requests were answered");
    }

    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), "");
    }

    /// The connection has ended, by an end of file or a reset.
    pub(crate) fn expect_gone(&mut self) {
        match self.stream.read_to_end(&mut Vec::new()) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }

    /// Closes with a reset instead of an end of file.
    pub(crate) fn reset(self) {
        let stream = self.stream.into_inner();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

pub(crate) fn error(message: &str) -> Value {
    json!({"status": "ERROR", "message": message})
}

#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_until_for(MAX_WAIT, what, condition);
}

#[track_caller]
pub(crate) fn wait_until_for(max_wait: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < max_wait, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
