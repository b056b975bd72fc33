//! The Unix socket: the same API, and the kernel identifies the caller.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::command_line::manager_with;
use super::server::{Reply, Server};

/// Whether the history names this process, with the name of its user if that is known in time.
#[track_caller]
fn is_me(actor: &str) {
    let me = format!("pid {} uid {}", std::process::id(), rustix::process::geteuid().as_raw());
    let name = actor.strip_prefix(&me).unwrap_or_else(|| panic!("{actor}"));
    assert!(name.is_empty() || name.starts_with(" ("), "{actor}");
}

#[tokio::test]
async fn a_change_is_recorded_with_the_process_that_asked() {
    let server = Server::start().await;
    let socket = server.listen_on_socket();
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    stream
        .write_all(b"POST /limit/increase HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let reply = Reply::parse(&text);
    assert_eq!(reply.status, 200);
    let last = server.control.history().latest(1).remove(0);
    assert_eq!((last.door.to_string(), last.new), ("http".into(), Some(1100)));
    is_me(&last.actor);
}

#[tokio::test]
async fn the_command_line_needs_no_port() {
    let server = Server::start().await;
    let socket = server.listen_on_socket();
    let socket = socket.display();
    for words in [
        format!("--socket {socket} limit 500"),
        format!("limit 500 --socket {socket}"),
        format!("9090 --socket {socket} limit 500"),
        format!("9090 limit 500 --socket {socket}"),
    ] {
        assert_eq!(manager_with(&words).await.as_deref(), Ok("Connection limit updated to 500\n"), "{words}");
        let last = server.control.history().latest(1).remove(0);
        assert_eq!(last.door.to_string(), "cli");
        is_me(&last.actor);
    }
}

#[tokio::test]
async fn its_permissions_stand_for_the_token() {
    let server = Server::start().await;
    let socket = server.listen_on_socket();
    server.expect_token("secret");
    let done = manager_with(&format!("--socket {} limit 500", socket.display())).await;
    assert_eq!(done.as_deref(), Ok("Connection limit updated to 500\n"));
}

#[tokio::test]
async fn nobody_there_is_told_apart_from_no_socket_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("management.sock");
    let ask = || manager_with_socket(&path);
    let shown = path.display();
    let failed = |cause: &str| Err((1, format!("Failed to connect to management server: {cause}")));
    assert_eq!(
        ask().await,
        failed(&format!(
            "no such socket\n{shown} does not exist. The server creates the socket named by management.socket in its \
             config file."
        ))
    );
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert_eq!(
        ask().await,
        failed(&format!(
            "connection refused\nNo process listens on {shown}: the server that created it has exited."
        ))
    );
}

#[tokio::test]
async fn what_is_no_socket_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    for (path, found) in [(dir.path(), "a directory"), (&file, "a file")] {
        let error = format!(
            "{} is {found}, not a socket; give the path in management.socket in the config file",
            path.display()
        );
        assert_eq!(manager_with_socket(path).await, Err((1, error)));
    }
}

async fn manager_with_socket(path: &std::path::Path) -> Result<String, (u8, String)> {
    manager_with(&format!("--socket {} status", path.display())).await
}

#[tokio::test]
async fn it_is_open_while_all_places_of_the_port_are_taken() {
    let server = Server::start().await;
    let socket = server.listen_on_socket();
    let mut open = Vec::new();
    for _ in 0..64 {
        let mut stream = server.connect().await;
        stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert_ne!(stream.read(&mut [0]).await.unwrap(), 0);
        open.push(stream);
    }
    assert!(manager_with_socket(&socket).await.unwrap().contains("Current Limit: 1000"));
}
