//! Connections the hub opens itself: upstream, over TLS.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::heads::https::websocket::byte_stream::{ByteStream, Text, small_buffers};
use crate::settings::HTTPS_PORT;

/// Another address to dial for a host and port, given as `HOST:PORT=IP:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// Host and port as the hub names them.
    pub authority: String,
    /// Where they are.
    pub address: SocketAddr,
}

/// The text is not `HOST:PORT=IP:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not HOST:PORT=IP:PORT")]
pub struct NotConnectTo(String);

impl FromStr for ConnectTo {
    type Err = NotConnectTo;

    fn from_str(text: &str) -> Result<ConnectTo, NotConnectTo> {
        let (authority, address) = text.split_once('=').ok_or_else(|| NotConnectTo(text.to_owned()))?;
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match (port, address.parse()) {
            (Some(_), Ok(address)) => Ok(ConnectTo { authority: authority.to_lowercase(), address }),
            _ => Err(NotConnectTo(text.to_owned())),
        }
    }
}

/// Opens connections to hosts that show a certificate under the trust bundle.
#[derive(Clone)]
pub struct Dialler {
    elsewhere: Arc<[ConnectTo]>,
    tls: TlsConnector,
}

impl Dialler {
    /// Trusts the roots of a bundle in PEM.
    ///
    /// # Errors
    /// When the bundle holds no certificate that can be a root.
    pub fn new(elsewhere: Vec<ConnectTo>, trust_bundle: &str) -> io::Result<Dialler> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(trust_bundle.as_bytes()) {
            let certificate = certificate.map_err(|error| io::Error::other(format!("trust bundle: {error}")))?;
            roots.add(certificate).map_err(|error| io::Error::other(format!("trust bundle: {error}")))?;
        }
        if roots.is_empty() {
            return Err(io::Error::other("the trust bundle is empty"));
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Dialler { elsewhere: elsewhere.into(), tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Opens a TLS connection.
    ///
    /// # Errors
    /// When nobody answers there, or not under the right name.
    pub async fn dial(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let authority = format!("{}:{port}", host.to_lowercase());
        let socket = match self.elsewhere.iter().find(|known| known.authority == authority) {
            Some(known) => TcpStream::connect(known.address).await?,
            None => TcpStream::connect((host, port)).await?,
        };
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        self.tls.connect(name, socket).await
    }

    /// Opens a WebSocket for a sub-protocol, on the path IoT Hub has for it.
    ///
    /// # Errors
    /// When nobody answers there, or does not upgrade.
    pub async fn dial_websocket(
        &self,
        host: &str,
        sub_protocol: &'static str,
    ) -> io::Result<ByteStream<TlsStream<TcpStream>>> {
        let stream = self.dial(host, HTTPS_PORT).await?;
        let mut request = format!("wss://{host}/$iothub/websocket").into_client_request().map_err(io::Error::other)?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(sub_protocol));
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(small_buffers()))
            .await
            .map_err(io::Error::other)?;
        Ok(ByteStream::new(socket, Text::Refused))
    }

    /// One HTTPS POST of JSON; returns status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn post(
        &self,
        host: &str,
        path: &str,
        authorization: &str,
        body: String,
    ) -> io::Result<(StatusCode, Bytes)> {
        self.request(Method::POST, host, path, &[("Authorization", authorization)], body).await
    }

    /// One HTTPS request with a body of JSON; returns status and body.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn request(
        &self,
        method: Method,
        host: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: String,
    ) -> io::Result<(StatusCode, Bytes)> {
        let stream = self.dial(host, HTTPS_PORT).await?;
        let mut request = Request::builder().method(method).uri(path).header("Host", host);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .header("Content-Type", "application/json; charset=utf-8")
            .body(Full::new(Bytes::from(body)))
            .map_err(io::Error::other)?;
        exchange(stream, request).await
    }
}

/// One request on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> io::Result<(StatusCode, Bytes)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let driven = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
    driven.abort();
    Ok((status, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_a_host_and_port_is_read() {
        let known: ConnectTo = "Hub.Test:443=127.0.0.1:8443".parse().expect("well-formed");
        assert_eq!(known.authority, "hub.test:443");
        for bad in ["hub.test:443", "hub.test=127.0.0.1:1", "hub.test:443=somewhere:1", ""] {
            assert!(bad.parse::<ConnectTo>().is_err(), "{bad}");
        }
    }
}
