//! A client's TCP socket, with what TCP leaves open: a deadline for what is sent, and an end that takes nothing back.
//!
//! The kernel answers bytes that nobody reads with a reset, which makes the client's forget what it has received. So the
//! server stops sending and reads for a while (the lingering close of RFC 9112 §9.6): whoever is refused in the middle of
//! a large message or body can read why. Invariant: a socket ends after a stated time, and what it holds with it.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};

/// For the client to notice that it is refused.
const LINGER: Duration = Duration::from_secs(2);

/// See the [module](self). `H` is dropped when the socket is closed.
#[derive(Debug)]
pub(super) struct ClientSocket<H: Send + 'static> {
    /// There until it is dropped.
    stream: Option<TcpStream>,
    held: Option<H>,
    write_timeout: Duration,
    /// Runs while the client takes nothing.
    stuck: Option<Pin<Box<Sleep>>>,
    /// The client sends nothing any more.
    read_to_end: bool,
}

impl<H: Send + 'static> ClientSocket<H> {
    /// A write fails with [`ErrorKind::TimedOut`] when the client takes nothing for so long.
    pub(super) fn new(stream: TcpStream, held: H, write_timeout: Duration) -> Self {
        Self { stream: Some(stream), held: Some(held), write_timeout, stuck: None, read_to_end: false }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or(ErrorKind::NotConnected.into())
    }

    fn in_time<T>(&mut self, context: &mut Context<'_>, done: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stuck = None;
            return done;
        }
        let limit = self.write_timeout;
        ready!(self.stuck.get_or_insert_with(|| Box::pin(sleep(limit))).as_mut().poll(context));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<H: Send + Unpin + 'static> AsyncRead for ClientSocket<H> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let done = self.stream()?.poll_read(context, buf);
        // No byte where there was room, or a connection that is broken.
        self.read_to_end |= done.is_ready() && buf.filled().len() == before && buf.remaining() > 0;
        done
    }
}

impl<H: Send + Unpin + 'static> AsyncWrite for ClientSocket<H> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let done = self.stream()?.poll_write(context, bytes);
        self.in_time(context, done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = self.stream()?.poll_write_vectored(context, slices);
        self.in_time(context, done)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(context)
    }
}

impl<H: Send + 'static> Drop for ClientSocket<H> {
    fn drop(&mut self) {
        let held = self.held.take();
        let (Some(mut stream), Ok(runtime), false) = (self.stream.take(), Handle::try_current(), self.read_to_end)
        else {
            return;
        };
        runtime.spawn(async move {
            let drained = async {
                stream.shutdown().await?;
                let mut nowhere = [0; 4096];
                while stream.read(&mut nowhere).await? > 0 {}
                io::Result::Ok(())
            };
            // Whether the client hung up or did not is the same from here.
            let _ = timeout(LINGER, drained).await;
            drop(held);
        });
    }
}
