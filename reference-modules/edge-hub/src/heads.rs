//! Protocol heads: they translate between a wire protocol and the core, and decide nothing.

use tokio::io::{AsyncRead, AsyncWrite};

pub mod amqp;
pub mod https;
mod listen;
pub mod mqtt;

/// What a head and its client speak on: TLS, or a WebSocket within it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}
