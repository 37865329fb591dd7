//! Whether the connection stands: what is under way on it ends with it.
//!
//! Whoever waits for a settlement or for the answer to a request is not told that neither will come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::faults::planted;

/// Knows when a connection has ended; clones know of the same one.
#[derive(Clone)]
pub struct Alive(watch::Receiver<()>);

/// The stream of a connection. The connection has ended when nobody has it any more.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    _alive: watch::Sender<()>,
}

impl Alive {
    /// Watches a stream.
    pub fn watch<S>(stream: S) -> (Alive, Watched<S>) {
        let (alive, ended) = watch::channel(());
        (Alive(ended), Watched { stream, _alive: alive })
    }

    /// Waits until the connection has ended.
    pub async fn ended(&self) {
        let mut alive = self.0.clone();
        // Nothing is ever said, so a change can only be the end.
        let _ = alive.changed().await;
    }

    /// What comes of something that is done over the connection.
    ///
    /// # Errors
    /// `UnexpectedEof` when the connection ends before; else what the work fails with.
    pub async fn during<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        if planted("CLD01-what-is-asked-outlasts-the-connection") {
            return work.await;
        }
        tokio::select! {
            biased;
            done = work => done,
            () = self.ended() => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_never_comes_ends_with_the_stream() {
        let (alive, stream) = Alive::watch(tokio::io::empty());
        assert_eq!(alive.during(std::future::ready(Ok(1))).await.unwrap(), 1);
        let waiting = tokio::spawn(async move { alive.during(std::future::pending::<io::Result<()>>()).await });
        drop(stream);
        assert_eq!(waiting.await.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
