//! A WebSocket as a stream of bytes: what its messages hold, one after another. Their borders mean nothing.
//!
//! Whoever ends the stream takes part in a farewell: a close frame, and the other side's. Source: Azure/iotedge,
//! `Hub.Mqtt/ServerWebSocketChannel.cs`, `Hub.Amqp/ServerWebSocketTransport.cs`.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Interval, Sleep, interval, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::faults::planted;

/// How long the other side may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(30);

/// How often a planted fault pings.
const PINGS: Duration = Duration::from_secs(120);

/// How a WebSocket is read: the library clears its buffer before each read, and by default has one of 128 KiB.
pub fn small_buffers() -> WebSocketConfig {
    WebSocketConfig::default().read_buffer_size(8 * 1024)
}

/// What becomes of a text message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// It ends the stream, without a farewell.
    Refused,
    /// Its bytes are taken for those of a binary one.
    Taken,
}

/// See the module.
#[derive(Debug)]
pub struct ByteStream<S> {
    socket: WebSocketStream<S>,
    text: Text,
    /// The rest of a message.
    unread: Bytes,
    phase: Phase,
    pings: Option<Interval>,
}

#[derive(Debug)]
enum Phase {
    /// Both sides speak.
    Open,
    /// A close frame is to be written.
    Leaving(Pin<Box<Sleep>>),
    /// It is written, and the other side's is to come.
    Left(Pin<Box<Sleep>>),
    /// Nothing more is said, or heard.
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ByteStream<S> {
    /// The bytes within a WebSocket that is open.
    pub fn new(socket: WebSocketStream<S>, text: Text) -> ByteStream<S> {
        let pings = planted("WS06-hub-pings").then(|| interval(PINGS));
        ByteStream { socket, text, unread: Bytes::new(), phase: Phase::Open, pings }
    }

    /// The bytes of the next message; none at the end.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        loop {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => {
                    return Poll::Ready(Ok(match self.text {
                        Text::Refused if planted("WS04-message-holds-one-packet") => first_packet(bytes),
                        Text::Taken if planted("TR05-message-holds-one-frame") => first_frame(bytes),
                        _ => bytes,
                    }));
                }
                Some(Ok(Message::Text(text)))
                    if self.text == Text::Taken || planted("WS05-text-is-taken-for-bytes") =>
                {
                    return Poll::Ready(Ok(text.into()));
                }
                Some(Ok(Message::Text(_))) => {
                    self.phase = Phase::Over;
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a text message")));
                }
                // Pings are answered, and a close frame too, by whoever reads on.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_))) => {}
                Some(Err(error)) => {
                    self.phase = Phase::Over;
                    return Poll::Ready(Err(broken(error)));
                }
                None => {
                    self.phase = Phase::Over;
                    return Poll::Ready(Ok(Bytes::new()));
                }
            }
        }
    }

    /// Says good-bye, and waits for the other side to do so.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.phase {
                Phase::Open => self.phase = Phase::Leaving(Box::pin(sleep(FAREWELL))),
                Phase::Leaving(limit) => {
                    let over = limit.as_mut().poll(cx).is_ready();
                    let written = match Pin::new(&mut self.socket).poll_ready(cx) {
                        Poll::Ready(Ok(())) => {
                            let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                            Pin::new(&mut self.socket).start_send(Message::Close(Some(close)))
                        }
                        Poll::Ready(Err(error)) => Err(error),
                        Poll::Pending if over => return Poll::Ready(()),
                        Poll::Pending => return Poll::Pending,
                    };
                    let phase = std::mem::replace(&mut self.phase, Phase::Over);
                    if let (Ok(()), Phase::Leaving(limit)) = (written, phase) {
                        self.phase = Phase::Left(limit);
                    }
                }
                Phase::Left(limit) => {
                    if limit.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(());
                    }
                    // What is left to write goes out while the other side is listened to.
                    let _ = Pin::new(&mut self.socket).poll_flush(cx);
                    // What it still says is of no use any more.
                    let _ = ready!(self.poll_message(cx));
                }
                Phase::Over => return Poll::Ready(()),
            }
        }
    }

    /// Only a planted fault pings.
    fn ping(&mut self, cx: &mut Context<'_>) {
        let Some(pings) = &mut self.pings else { return };
        while pings.poll_tick(cx).is_ready() {
            if Pin::new(&mut self.socket).poll_ready(cx).is_ready() {
                let _ = Pin::new(&mut self.socket).start_send(Message::Ping(Bytes::new()));
                let _ = Pin::new(&mut self.socket).poll_flush(cx);
            }
        }
    }
}

/// The MQTT packet a message begins with, if it is whole: only a planted fault looks for packets in messages.
fn first_packet(message: Bytes) -> Bytes {
    let mut length = 0;
    for (place, byte) in message.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let end = length + place + 2;
            return if end <= message.len() { message.slice(..end) } else { Bytes::new() };
        }
    }
    Bytes::new()
}

/// As [`first_packet`], for a frame of AMQP, or the header before frames.
fn first_frame(message: Bytes) -> Bytes {
    let Some(size) = message.first_chunk().map(|size| u32::from_be_bytes(*size)) else { return Bytes::new() };
    let end = if message.starts_with(b"AMQP") { 8 } else { size as usize };
    if end <= message.len() { message.slice(..end) } else { Bytes::new() }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::NotConnected.into(),
        other => io::Error::other(other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ByteStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.ping(cx);
        // An empty message is not the end.
        while this.unread.is_empty() {
            if matches!(this.phase, Phase::Over) {
                return Poll::Ready(Ok(()));
            }
            this.unread = ready!(this.poll_message(cx))?;
        }
        let taken = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.unread[..taken]);
        this.unread.advance(taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ByteStream<S> {
    /// What is written in one go is one message.
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.socket).poll_ready(cx)).map_err(broken)?;
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        Pin::new(&mut this.socket).start_send(message).map_err(broken)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx).map_err(broken)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_farewell(cx));
        Pin::new(this.socket.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    async fn both(text: Text) -> (WebSocketStream<DuplexStream>, ByteStream<DuplexStream>) {
        let (client, server) = tokio::io::duplex(1 << 16);
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let server = WebSocketStream::from_raw_socket(server, Role::Server, None).await;
        (client, ByteStream::new(server, text))
    }

    #[tokio::test]
    async fn borders_of_messages_mean_nothing() {
        let (mut client, mut stream) = both(Text::Refused).await;
        for part in ["ab", "", "cdef"] {
            client.send(Message::binary(part.as_bytes().to_vec())).await.unwrap();
        }
        let mut read = [0; 6];
        stream.read_exact(&mut read[..3]).await.unwrap();
        stream.read_exact(&mut read[3..]).await.unwrap();
        assert_eq!(&read, b"abcdef");
    }

    #[tokio::test]
    async fn a_text_ends_the_stream_where_it_is_refused() {
        let (mut client, mut stream) = both(Text::Refused).await;
        client.send(Message::text("ab")).await.unwrap();
        assert!(stream.read_u8().await.is_err());
        let (mut client, mut stream) = both(Text::Taken).await;
        client.send(Message::text("ab")).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'a');
    }

    #[tokio::test]
    async fn who_leaves_says_good_bye_and_waits_for_the_other_side() {
        let (mut client, mut stream) = both(Text::Refused).await;
        let leaving = tokio::spawn(async move {
            stream.write_all(b"last").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        assert_eq!(client.next().await.unwrap().unwrap(), Message::binary(b"last".to_vec()));
        assert!(!leaving.is_finished());
        let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        assert_eq!(client.next().await.unwrap().unwrap(), Message::Close(Some(close)));
        assert!(client.next().await.is_none_or(|end| end.is_err()));
        leaving.await.unwrap();
    }

    #[tokio::test]
    async fn the_other_sides_good_bye_is_the_end() {
        let (mut client, mut stream) = both(Text::Refused).await;
        client.close(None).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
        stream.shutdown().await.unwrap();
    }
}
