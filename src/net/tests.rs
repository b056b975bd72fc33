//! Connections without the program's sessions: a second handler, which speaks another protocol, shows that this room
//! knows none; and helpers for the tests of the whole server.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::sync::oneshot;

use super::budget::Charge;
use super::*;

/// Longer than anything here takes on the slowest machine.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// Forwards the client's input to another server, over a second socket, and that server's answers to the client. Knows
/// neither users nor the end of a request.
#[derive(Debug)]
pub(crate) struct Relay {
    backend: Option<TcpStream>,
}

impl Handler for Relay {
    /// The address of the other server.
    type Services = SocketAddr;
    type Worker = ();
    type Scratch = ();
    type Completion<'a> = ();
    type Batch = ();
    type Label = ();

    fn new(_: &ClientSettings) -> Self {
        Self { backend: None }
    }

    fn user(&self) -> Option<&str> {
        Some("anybody")
    }

    fn label(&self) {}

    fn on_input(&mut self, work: &mut Work<Self>, context: &mut Context<'_, Self>) -> (Step, usize) {
        let backend = self.backend.get_or_insert_with(|| {
            let backend = TcpStream::connect(context.services).unwrap();
            backend.set_nonblocking(true).unwrap();
            context.watch_backend(&backend).unwrap();
            backend
        });
        let pending = work.input.pending();
        backend.write_all(pending).unwrap();
        let passed_on = pending.len();
        work.input.consume(passed_on);
        let mut answer = [0; 1024];
        match backend.read(&mut answer) {
            Ok(0) => (Step::Close(Ending::Client), 0),
            Ok(read) => {
                work.output.extend_from_slice(&answer[..read]);
                (Step::Send, 0)
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                (if passed_on > 0 { Step::Wait } else { Step::Read }, 0)
            }
        }
    }

    fn on_completion(&mut self, (): (), _: &mut Work<Self>, _: &mut Context<'_, Self>) -> Step {
        Step::Read
    }

    fn on_backend(&mut self, _: Ready) {}

    fn on_sent(_: &mut Work<Self>, (): &mut ()) {}

    fn on_timeout(&mut self, _: &mut Work<Self>) {}

    fn on_hang_up(&self, _: &mut Vec<u8>) -> bool {
        true
    }

    fn last_words(words: LastWords, line: &mut Vec<u8>) {
        line.extend_from_slice(format!("{words:?}").as_bytes());
    }

    fn end_of_request(bytes: &[u8], _: Which) -> Option<usize> {
        Some(bytes.len())
    }

    fn worker(_: &SocketAddr) {}

    fn flush((): &mut (), _: &SocketAddr, _: &Outbox<Self>) {}

    fn completions((): &()) -> impl Iterator<Item = (Token, ())> {
        std::iter::empty()
    }
}

impl Services for SocketAddr {
    fn tick(&self) {}

    fn has_news(&self) -> bool {
        false
    }

    fn log(&self) {}

    async fn works(&self) -> bool {
        true
    }
}

impl Scratch for () {
    fn held(&self) -> usize {
        0
    }

    fn clear(&mut self) {}
}

/// Helpers for the tests of the whole server.
impl<H: Handler> Server<H> {
    /// Has the accepting worker stop, and runs `meanwhile` between the decision and the stop.
    pub(crate) fn stop_accepting_after(&self, meanwhile: impl FnOnce()) -> oneshot::Receiver<()> {
        let (stopped, has_stopped) = oneshot::channel();
        self.shared.mailboxes[0].send_after(meanwhile, Message::StopAccepting { shared: false, stopped });
        has_stopped
    }

    /// Ends a worker that should keep running.
    pub(crate) fn stop_worker(&self, number: usize) {
        self.shared.mailboxes[number].send(Message::Stop);
    }

    /// Charges so many bytes to users.
    pub(crate) fn spend(&self, bytes: usize) {
        self.shared.budget.recharge(Charge::default(), Charge::user(bytes));
    }

    /// How many permits are held.
    pub(crate) fn active(&self) -> u32 {
        self.shared.limit.limiter().snapshot().active
    }
}

/// The bytes of a connection while it waits, in the slab of its worker; and the additional bytes while it has work.
pub(crate) fn sizes<H: Handler>() -> (usize, usize) {
    /// A place of a slab.
    enum Place<T> {
        _Vacant(usize),
        _Occupied(T),
    }
    (size_of::<Place<connection::Connection<H>>>(), size_of::<Work<H>>())
}

fn serve(limit: u32, backend: SocketAddr) -> Server<Relay> {
    let limit = NonZeroU32::new(limit).unwrap();
    let settings = ClientSettings {
        login_timeout: MAX_WAIT,
        idle_timeout: None,
        request_timeout: MAX_WAIT,
        max_request: 1024,
        max_inflight: 1 << 20,
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let limiter = Limiter::new(limit, limit).unwrap();
    Server::launch(listener, limiter, watch::channel(settings).1, backend, 1).unwrap()
}

fn connect(server: &Server<Relay>) -> TcpStream {
    let client = TcpStream::connect(server.address()).unwrap();
    client.set_read_timeout(Some(MAX_WAIT)).unwrap();
    client
}

fn expect(mut stream: &TcpStream, text: &str) {
    let mut read = vec![0; text.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8(read).unwrap(), text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_may_own_a_second_socket() {
    let backend = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let server = serve(10, backend.local_addr().unwrap());
    let mut clients: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        write!(client, "question {number}").unwrap();
        let (mut passed_on, _) = backend.accept().unwrap();
        passed_on.set_read_timeout(Some(MAX_WAIT)).unwrap();
        expect(&passed_on, &format!("question {number}"));
        // The session waits for this one, but not for the next, which arrives by itself.
        write!(passed_on, "answer {number}").unwrap();
        expect(client, &format!("answer {number}"));
        write!(passed_on, "news {number}").unwrap();
        expect(client, &format!("news {number}"));
        drop(passed_on);
        assert_eq!(client.read(&mut [0; 9]).unwrap(), 0, "the other server has hung up");
    }
    assert_eq!(server.connection_counters().read().panicked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_in_the_words_of_the_protocol() {
    let server = serve(1, (Ipv4Addr::LOCALHOST, 1).into());
    let _first = connect(&server);
    while server.active() < 1 {
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    connect(&server).read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "AtCapacity { limit: 1 }");
}

/// The sessions depend on this room, and this room on the limiter. The others are small general helpers.
#[test]
fn this_room_uses_the_limiter_and_no_other_room() {
    const ALLOWED: [&str; 7] = ["", "net", "limiter", "accept_fault", "named_enum", "sync", "unpoisoned"];
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/net");
    let (mut dirs, mut files) = (vec![dir], 0);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            for used in text.split("crate::").skip(1) {
                let room: String =
                    used.chars().take_while(|&letter| letter.is_alphanumeric() || letter == '_').collect();
                assert!(ALLOWED.contains(&&*room), "{} uses {room}", path.display());
            }
        }
    }
    assert!(files > 20, "{files} files were read");
}
