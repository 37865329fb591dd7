//! A TLS ClientHello by hand, for versions that no current TLS library speaks.
//!
//! Source: RFC 2246, 4346 and 5246, section 7.4.1; RFC 4492, section 5.1.

use std::fmt;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::deadline::{self, Expired};

/// A version as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.0.
    V1_0,
    /// TLS 1.1.
    V1_1,
    /// TLS 1.2: a hub that answers it shows that these hellos can be read.
    V1_2,
}

/// What a server says to a ClientHello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It goes on, with this version.
    Hello(u8, u8),
    /// An alert of this description.
    Alert(u8),
    /// The end of the connection.
    Closed,
    /// Something else.
    Other(Vec<u8>),
}

const HANDSHAKE: u8 = 22;
const ALERT: u8 = 21;
const SERVER_HELLO: u8 = 2;

impl Version {
    fn bytes(self) -> [u8; 2] {
        match self {
            Version::V1_0 => [3, 1],
            Version::V1_1 => [3, 2],
            Version::V1_2 => [3, 3],
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1_0 => "TLS 1.0",
            Version::V1_1 => "TLS 1.1",
            Version::V1_2 => "TLS 1.2",
        })
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Hello(major, minor) => write!(f, "a ServerHello of version {major}.{minor}"),
            Answer::Alert(description) => write!(f, "the alert {description}"),
            Answer::Closed => f.write_str("the end of the connection"),
            Answer::Other(bytes) => write!(f, "{bytes:02x?}"),
        }
    }
}

/// A ClientHello that offers this version at most, with suites and curves that every server of its time has.
pub fn hello(version: Version) -> Vec<u8> {
    const SUITES: [u16; 10] = [0xc02b, 0xc02f, 0xc02c, 0xc030, 0xc009, 0xc013, 0xc00a, 0xc014, 0x002f, 0x0035];
    let sized = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("these are short").to_be_bytes();
        [&length, bytes].concat()
    };
    let extension = |kind: u16, body: &[u8]| [&kind.to_be_bytes()[..], &sized(body)].concat();
    let mut body = version.bytes().to_vec();
    body.extend([0x42; 32]);
    body.push(0);
    body.extend(sized(&SUITES.iter().flat_map(|suite| suite.to_be_bytes()).collect::<Vec<u8>>()));
    body.extend([1, 0]);
    let mut extensions = extension(10, &sized(&[0, 23, 0, 24, 0, 29]));
    extensions.extend(extension(11, &[1, 0]));
    // Older versions do not need it, but a server that misses it would complain of that instead of the version.
    extensions.extend(extension(13, &sized(&[4, 3, 4, 1, 8, 4, 5, 3, 5, 1])));
    body.extend(sized(&extensions));
    let length = u32::try_from(body.len()).expect("these are short").to_be_bytes();
    let handshake = [&[1][..], &length[1..], &body].concat();
    [&[HANDSHAKE, 3, 1][..], &sized(&handshake)].concat()
}

/// Says hello on a connection of its own, and gives the first thing the server says.
///
/// # Errors
/// [`Expired`] when it says nothing in time.
pub async fn say(address: SocketAddr, version: Version) -> Result<Answer, Expired> {
    deadline::CONNECT.wait(format!("an answer to a ClientHello of {version}"), answered(address, version)).await
}

async fn answered(address: SocketAddr, version: Version) -> Answer {
    let Ok(mut socket) = TcpStream::connect(address).await else { return Answer::Closed };
    let (mut record, mut rest) = ([0; 7], [0; 4]);
    if socket.write_all(&hello(version)).await.is_err() || socket.read_exact(&mut record).await.is_err() {
        return Answer::Closed;
    }
    match record[0] {
        ALERT => Answer::Alert(record[6]),
        HANDSHAKE if record[5] == SERVER_HELLO && socket.read_exact(&mut rest).await.is_ok() => {
            Answer::Hello(rest[2], rest[3])
        }
        _ => Answer::Other(record.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_counts_its_own_length() {
        let bytes = hello(Version::V1_1);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[3], bytes[4]])), bytes.len() - 5);
        assert_eq!(usize::from(u16::from_be_bytes([bytes[7], bytes[8]])), bytes.len() - 9);
        assert_eq!(bytes[9..11], [3, 2]);
    }
}
