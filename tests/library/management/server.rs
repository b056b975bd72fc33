//! A server for one test, and a client that exposes the bytes on the wire.

use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use shibudb::control::{Ceiling, Configured, Control, Settings};
use shibudb::limiter::{Limiter, Permit};
use shibudb::management::{
    self, ConnectionSlots, Connections, Denied, Management, ReloadDoor, ReloadRequest, Token, wire,
};
use shibudb::series;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const CEILING: u32 = 19_900;

pub(crate) struct Server {
    /// The only writer of the series.
    pub(crate) series: series::Recorder,
    pub(crate) address: SocketAddr,
    pub(crate) limiter: Limiter,
    pub(crate) control: Control,
    pub(crate) config: watch::Sender<Arc<wire::LoadedConfig>>,
    token: watch::Sender<Option<Token>>,
    pub(crate) store: watch::Sender<wire::StoreReport>,
    pub(crate) reloads: mpsc::Receiver<ReloadRequest>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
    api: Management,
    data: tempfile::TempDir,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Server {
    /// A server whose configured limit is 1000.
    pub(crate) async fn start() -> Self {
        Self::start_with(1000).await
    }

    pub(crate) async fn start_with(limit: u32) -> Self {
        Self::start_with_slots(limit, ConnectionSlots::default()).await
    }

    pub(crate) async fn start_with_slots(limit: u32, slots: ConnectionSlots) -> Self {
        let data = tempfile::tempdir().unwrap();
        let (control, limiter, _thread) = Control::start(
            Configured { command_line: NonZeroU32::new(limit), file: None },
            Settings { step: NonZeroU32::new(100).unwrap(), persist: true },
            Ceiling { connections: NonZeroU32::new(CEILING).unwrap(), open_files: 20_000 },
            data.path(),
            std::path::Path::new("shibudb.toml"),
        )
        .unwrap();
        let (reload, reloads) = ReloadDoor::new();
        let (config, published) = watch::channel(Arc::default());
        let (token, expected) = watch::channel(None);
        let (store, store_report) = watch::channel(wire::StoreReport::default());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let (recorder, series) = series::series(Vec::new());
        let api = Management {
            limiter: limiter.clone(),
            control: control.clone(),
            reload,
            config: published,
            store: store_report,
            token: expected,
            denials: Arc::default(),
            metrics: Arc::default(),
            connections: Arc::new(Nobody),
            series,
            slots,
        };
        let task = tokio::spawn(management::serve(listener, api.clone(), shutdown.clone()));
        Self {
            series: recorder,
            address,
            limiter,
            control,
            config,
            store,
            token,
            reloads,
            shutdown,
            task,
            api,
            data,
        }
    }

    /// The entity tag of a revision, as on the wire.
    pub(crate) fn etag(&self, revision: u64) -> String {
        format!("\"{}\"", self.control.tag(revision))
    }

    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.data.path()
    }

    /// From now on, clients must send this token.
    pub(crate) fn expect_token(&self, token: &str) {
        let file = self.token_file(token);
        self.token.send_replace(Some(Token::read(&file).unwrap()));
    }

    /// How many requests were denied for their token.
    pub(crate) fn denied(&self) -> Denied {
        self.api.denials.total()
    }

    /// A file that contains `token`, accessible to its owner only.
    pub(crate) fn token_file(&self, token: &str) -> PathBuf {
        let path = self.data.path().join("token");
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        writeln!(file, "{token}").unwrap();
        path
    }

    /// Makes the server listen on a Unix socket as well.
    pub(crate) fn listen_on_socket(&self) -> PathBuf {
        let path = self.data.path().join("management.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(management::serve(listener, self.api.clone(), self.shutdown.clone()));
        path
    }

    /// Opens that many connections, from the limiter's point of view.
    pub(crate) fn occupy(&self, connections: usize) -> Vec<Permit> {
        (0..connections).map(|_| self.limiter.try_acquire().unwrap()).collect()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[], "").await
    }

    /// With a body declared as JSON.
    pub(crate) async fn json(&self, method: &str, path: &str, body: &str) -> Reply {
        self.ask(method, path, &["Content-Type: application/json"], body).await
    }

    /// With exactly these headers beside `Host: localhost` and the length.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Reply {
        let mut all = vec!["Host: localhost:10090"];
        all.extend(headers);
        self.ask_as(method, path, &all, body).await
    }

    /// With exactly these headers beside the length.
    pub(crate) async fn ask_as(&self, method: &str, path: &str, headers: &[&str], body: &str) -> Reply {
        let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        for header in headers {
            request += &format!("{header}\r\n");
        }
        if !body.is_empty() {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        self.send(format!("{request}\r\n{body}").as_bytes()).await
    }

    /// Sends exactly these bytes; the reply is everything until the server closes.
    pub(crate) async fn send(&self, request: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        Reply::parse(&reply)
    }
}

impl Reply {
    pub(crate) fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Status and body.
    pub(crate) fn pair(&self) -> (u16, &str) {
        (self.status, &self.body)
    }

    /// The message of an error that has the documented shape.
    pub(crate) fn error(&self) -> String {
        let failure: wire::Failure = serde_json::from_str(&self.body).unwrap();
        let words = serde_json::to_string(&failure.error).unwrap();
        assert_eq!(self.body, format!(r#"{{"error":{words},"status":"failed"}}"#));
        assert_eq!(self.header("content-type"), Some("application/json"));
        failure.error
    }
}

/// No connections.
#[derive(Debug)]
struct Nobody;

impl Connections for Nobody {
    fn list(&self) -> BoxFuture<'_, Vec<wire::Connection>> {
        async { Vec::new() }.boxed()
    }

    fn rejected(&self) -> Vec<wire::RejectedPeer> {
        Vec::new()
    }

    fn end(&self, _: u64) -> BoxFuture<'_, Option<wire::Ended>> {
        async { None }.boxed()
    }
}
