//! Accepts connections, for every head alike.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// How long to wait when no connection can be accepted, for want of file descriptors say.
const PAUSE: Duration = Duration::from_millis(100);

/// Binds, and returns what accepts connections for ever and serves each in a task of its own.
///
/// # Errors
/// When the address is taken, or needs rights that are not there.
pub async fn listen<F, S>(address: SocketAddr, serve: F) -> io::Result<impl Future<Output = ()>>
where
    F: Fn(TcpStream) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(address).await?;
    Ok(async move {
        loop {
            match listener.accept().await {
                Ok((socket, _)) => {
                    tokio::spawn(serve(socket));
                }
                Err(error) => {
                    tracing::warn!("Cannot accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    })
}
