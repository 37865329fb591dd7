//! The clients tests act through: modules and leaf devices at the hub, and the service side of the cloud.

pub mod client_hello;
pub mod file_upload;
pub mod http;
pub mod https;
pub mod iot_hub;
pub mod mqtt;
pub mod property_bag;
pub mod raw_mqtt;
pub mod sas;
pub mod websocket;

use tokio::io::{AsyncRead, AsyncWrite};

/// What a protocol is spoken on: TLS, or a WebSocket within it.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static> Stream for S {}
