//! Gives hyper's own error answers a body like that of every other error.
//!
//! A head that is not HTTP, or is too long, never becomes a request: hyper answers it itself, with a status and no
//! text, and offers no place for one. So its answers are recognised on their way out, which is simple: everything that
//! the router answers carries `Cache-Control`.
//!
//! After such an answer there is unread input. Closing the connection would reset it, and the client could lose the
//! answer; so the input is read and discarded for a while.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::{Failure, MEDIA_TYPE};
use crate::awake::Nap;

/// The longest time for which input is discarded.
const LINGER: Duration = Duration::from_secs(2);

/// A stream that adds text to hyper's own answers.
pub(super) struct HttpErrorBody<S> {
    stream: S,
    /// The replacement of an answer of hyper's, and how much of it has been written.
    answer: Vec<u8>,
    written: usize,
    linger: Option<Nap>,
}

impl<S> HttpErrorBody<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, answer: Vec::new(), written: 0, linger: None }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> HttpErrorBody<S> {
    fn poll_answer(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.answer.len() {
            let rest = &self.answer[self.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once the client has sent everything, or too much.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Nap::new(LINGER));
        if Pin::new(linger).poll(context).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut space = [0; 4096];
            let mut buffer = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for HttpErrorBody<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_answer(context))?;
        match in_words(bytes) {
            // Written with the flush, which hyper does before anything else.
            Some(answer) => {
                (self.answer, self.written) = (answer, 0);
                Poll::Ready(Ok(bytes.len()))
            }
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answer(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.poll_answer(context))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if !self.answer.is_empty() {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HttpErrorBody<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// The same answer with a text, if `answer` is one of hyper's own.
fn in_words(answer: &[u8]) -> Option<Vec<u8>> {
    const NO_BODY: &str = "content-length: 0\r\n";
    let status = answer.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let words = match status {
        b"400" => "not an HTTP/1.1 request",
        b"414" => "the request target is too long",
        b"431" => "the request header is too long",
        _ => return None,
    };
    let head = std::str::from_utf8(answer).ok()?;
    let is_hypers_own = head.find("\r\n\r\n") == Some(head.len() - 4)
        && head.contains(NO_BODY)
        && !head.contains("\r\ncache-control:");
    if !is_hypers_own {
        return None;
    }
    let body = serde_json::to_string(&Failure::new(words)).ok()?;
    let headers = format!(
        "content-type: {MEDIA_TYPE}\r\ncache-control: no-store\r\ncontent-length: {}\r\n",
        body.len()
    );
    Some((head.replacen(NO_BODY, &headers, 1) + &body).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hypers_own_answers_are_given_words() {
        let own = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        let words = String::from_utf8(in_words(own.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            words,
            "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n\
             cache-control: no-store\r\ncontent-length: 53\r\n\r\n\
             {\"error\":\"not an HTTP/1.1 request\",\"status\":\"failed\"}"
        );
        for other in [
            "",
            "HTTP/1.1 ",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ncache-control: no-store\r\n\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n",
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n{}",
        ] {
            assert_eq!(in_words(other.as_bytes()), None, "{other}");
        }
        assert_eq!(in_words(&words.into_bytes()), None);
    }
}
