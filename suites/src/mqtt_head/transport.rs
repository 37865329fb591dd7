//! TLS under the MQTT head. Covers MQTT-TLS.

use std::time::Duration;

use harness::client::client_hello::{self, Answer, Version};
use harness::deadline;
use harness::environment::{DeviceCertificate, Handshake, StartError, TlsVersion};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::guest::{self, GUEST, Seen, answer, module, proper};
use crate::course::{broken, ended};
use crate::declare::{fixed, once};

/// The alert `protocol_version`.
const PROTOCOL_VERSION: u8 = 70;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let tests = vec![
        fixed("mqtt_head", "mqtt_head::transport::nothing_is_said_in_clear", &["MQTT-TLS-01"], |worker| {
            Box::pin(in_clear(worker))
        }),
        fixed(
            "mqtt_head",
            "mqtt_head::transport::current_tls_versions_are_spoken_and_old_ones_refused",
            &["MQTT-TLS-02", "MQTT-TLS-01"],
            |worker| Box::pin(versions(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::transport::no_certificate_of_a_client_fails_the_handshake",
            &["MQTT-TLS-03"],
            |worker| Box::pin(certificates(worker)),
        ),
    ];
    tests.into_iter().map(once).collect()
}

async fn in_clear(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let connect = proper(environment, &module(GUEST));
    let steps = [
        "a TCP connection to port 8883, without TLS".to_owned(),
        "a CONNECT that would be accepted under TLS".to_owned(),
    ];
    let answered = deadline::CLOSED.wait("the end of the connection", async {
        let mut bytes = Vec::new();
        let mut socket = TcpStream::connect(environment.mqtt_address()).await?;
        socket.write_all(&connect.bytes()).await?;
        // A reset is an end of the connection too.
        let _ = socket.read_to_end(&mut bytes).await;
        Ok::<_, std::io::Error>(bytes)
    });
    let observed = match answered.await {
        Ok(Ok(bytes)) if bytes.first() != Some(&0x20) => None,
        Ok(Ok(bytes)) => Some(format!("a CONNACK in clear: {bytes:02x?}")),
        Ok(Err(error)) => Some(error.to_string()),
        Err(expired) => Some(expired.to_string()),
    };
    Ok(ended(observed.map(|observed| broken("MQTT-TLS-01", "the connection ends without a CONNACK", observed, &steps))))
}

async fn versions(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    for (name, version) in [("TLS 1.2", TlsVersion::V1_2), ("TLS 1.3", TlsVersion::V1_3)] {
        let steps = [format!("a handshake that offers {name} only"), "CONNECT of module guest".to_owned()];
        let handshake = Handshake { version: Some(version), certificate: None };
        let observed = match environment.raw_with(name, handshake).await {
            Ok(mut raw) => {
                raw.write(&proper(environment, &module(GUEST)).bytes()).await;
                Some(answer(&mut raw).await).filter(|seen| *seen != Seen::Code(0)).map(|seen| seen.to_string())
            }
            Err(error) => Some(format!("no connection: {error}")),
        };
        if let Some(observed) = observed {
            return Ok(ended(Some(broken("MQTT-TLS-02", "CONNACK 0x00", observed, &steps))));
        }
    }
    for version in [Version::V1_0, Version::V1_1, Version::V1_2] {
        let said = client_hello::say(environment.mqtt_address(), version).await?;
        let steps = [format!("a ClientHello of {version} at most")];
        let (expected, good) = match version {
            Version::V1_2 => ("a ServerHello", matches!(said, Answer::Hello(..))),
            _ => ("a refusal", matches!(said, Answer::Alert(PROTOCOL_VERSION) | Answer::Closed)),
        };
        // Another alert would be about something else than the version.
        if !good {
            return Ok(ended(Some(broken("MQTT-TLS-02", expected, said.to_string(), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

/// The handshake takes a certificate nobody knows; what is said comes as CONNACK.
async fn certificates(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage: &mut Stage = worker.stage().await?;
    let environment = stage.environment();
    let stranger = DeviceCertificate {
        common_name: "nobody".to_owned(),
        lifetime: Some(Duration::from_secs(3600)),
        is_authority: false,
    };
    let stranger = stranger.self_signed().map_err(|error| StageError::Start(StartError::Pki(error)))?;
    let proper = proper(environment, &module(GUEST));
    let bare = guest::without_password(&proper);
    for (what, connect, expected) in
        [("with a valid token", &proper, Seen::Code(0)), ("without a password", &bare, Seen::Code(5))]
    {
        let steps = [
            "a handshake with a certificate that signed itself and that nobody knows".to_owned(),
            format!("CONNECT of module guest {what}"),
        ];
        let handshake = Handshake { version: None, certificate: Some(&stranger) };
        let observed = match environment.raw_with("stranger", handshake).await {
            Ok(mut raw) => {
                raw.write(&connect.bytes()).await;
                // In TLS 1.3 the client learns only now that the hub does not like its certificate.
                Some(answer(&mut raw).await).filter(|seen| *seen != expected).map(|seen| seen.to_string())
            }
            Err(error) => Some(format!("no connection: {error}")),
        };
        if let Some(observed) = observed {
            return Ok(ended(Some(broken("MQTT-TLS-03", expected.to_string(), observed, &steps))));
        }
    }
    Ok(Outcome::Conforms)
}
