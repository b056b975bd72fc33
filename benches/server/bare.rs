//! The simplest possible servers: the upper bound of this machine.
//!
//! Each runs in a process of its own, which is this program called with `bare` and a name, prints its port, and ends
//! with the process that started it.

use std::io::Write;
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use rustix::process::{Signal, set_parent_process_death_signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::bare_epoll;

const FULL: &[u8] = b"{\"status\":\"ERROR\",\"message\":\"Server at maximum capacity (1000 connections). Please try again later.\"}\n";
const BAD: &[u8] = b"{\"status\":\"ERROR\",\"message\":\"invalid login format\"}\n";

const BACKLOG: i32 = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// tokio: accept, write one line, close
    LineClose,
    /// tokio: accept, a task reads one line, writes one, and closes
    BadLineClose,
    /// tokio: accept, a task waits for the end of the connection
    Hold,
    /// tokio: accept, a task answers every line
    Reply,
    /// one thread and epoll: answers every line
    EpollReply,
    /// one thread and epoll: writes and syncs all lines that have come, then answers them
    EpollSyncReply,
}

impl Kind {
    /// The name as clap spells it.
    pub(crate) fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self).map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Serves until it is killed.
pub(crate) fn run(kind: Kind) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let listener = listener()?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    match kind {
        Kind::EpollReply => return bare_epoll::run(&listener, None),
        Kind::EpollSyncReply => return bare_epoll::run(&listener, Some("journal".as_ref())),
        Kind::LineClose | Kind::BadLineClose | Kind::Hold | Kind::Reply => {}
    }
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (mut socket, _) = listener.accept().await.context("cannot accept")?;
            match kind {
                Kind::LineClose => {
                    // A client that is gone needs no line.
                    socket.write_all(FULL).await.ok();
                }
                Kind::BadLineClose => drop(tokio::spawn(bad_line(socket))),
                Kind::Hold => drop(tokio::spawn(hold(socket))),
                _ => drop(tokio::spawn(reply(socket))),
            }
        }
    })
}

fn listener() -> Result<std::net::TcpListener> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

async fn bad_line(mut socket: TcpStream) -> Option<()> {
    let mut line = [0; 512];
    let mut length = 0;
    while !line[..length].contains(&b'\n') {
        let received = socket.read(line.get_mut(length..)?).await.ok()?;
        length += received;
        if received == 0 {
            return None;
        }
    }
    socket.write_all(BAD).await.ok()
}

async fn hold(socket: TcpStream) -> Option<()> {
    loop {
        socket.readable().await.ok()?;
        let mut buffer = [0; 1024];
        match socket.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}

async fn reply(socket: TcpStream) -> Option<()> {
    socket.set_nodelay(true).ok()?;
    loop {
        socket.readable().await.ok()?;
        let mut buffer = [0; 4096];
        match socket.try_read(&mut buffer) {
            Ok(0) => return None,
            Ok(received) => {
                // Lines are short and come one at a time, so a half line waits for its end.
                for _ in buffer[..received].iter().filter(|&&byte| byte == b'\n') {
                    socket.try_write(bare_epoll::REPLY).ok()?;
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return None,
        }
    }
}
