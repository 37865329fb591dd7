//! Who is who: tokens and certificates. Covers MQTT-AUTH.
//!
//! - [`token`]: tokens of every kind, and whether they must be taken.

use std::time::Duration;

use futures_util::future::BoxFuture;
use harness::client::raw_mqtt::Connect;
use harness::deadline::{self, Deadline};
use harness::environment::{DeviceCertificate, Environment, Handshake, Issued, StartError};
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use harness::subject::Ability;

use super::guest::{
    BANNED, EXPIRED_CERTIFICATE, GUEST, ISSUED_CERTIFICATE, OWN_CERTIFICATE, SECOND_CERTIFICATE, Seen, VISITOR, answer,
    ask, device, enter, module, proper, without_password,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use token::{Audience, Host, Key, Text, Token, tokens};

pub mod token;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "mqtt_head",
            "mqtt_head::authentication::a_token_is_judged_by_its_rules",
            &["MQTT-AUTH-01", "MQTT-AUTH-02", "MQTT-AUTH-03", "MQTT-AUTH-04", "MQTT-CONN-01", "MQTT-CONN-02"],
            5,
            tokens,
            holds,
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::authentication::each_fault_of_a_token_refuses_it",
            &["MQTT-AUTH-01", "MQTT-AUTH-02", "MQTT-AUTH-03", "MQTT-AUTH-04", "MQTT-CONN-01", "MQTT-CONN-02"],
            |worker| Box::pin(one_by_one(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::authentication::who_is_disabled_or_unknown_is_refused",
            &["MQTT-AUTH-01"],
            |worker| Box::pin(nobody(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::authentication::a_device_signs_in_with_its_certificate",
            &["MQTT-AUTH-05", "MQTT-AUTH-06", "MQTT-AUTH-07"],
            |worker| Box::pin(certificates(worker)),
        ),
        fixed(
            "mqtt_head",
            "mqtt_head::authentication::a_connection_ends_some_time_after_its_token",
            &["MQTT-AUTH-08"],
            |worker| Box::pin(outlived(worker)),
        ),
    ]
}

fn holds<'a>(stage: &'a mut Stage, token: &'a Token) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move { judged(stage.environment(), token).await })
}

async fn judged(environment: &Environment, token: &Token) -> Result<Option<Violation>, StageError> {
    let identity = if token.module { module(GUEST) } else { device(VISITOR) };
    let text = token.write(environment, &identity);
    let steps = [format!("{identity} connects with {}", told(token)), format!("the token is {text:?}")];
    let connect = Connect { password: Some(text.into_bytes()), ..proper(environment, &identity) };
    let seen = ask(environment, "token", &connect).await?;
    let expected = Seen::Code(if token.is_good() { 0 } else { 5 });
    Ok((seen != expected).then(|| broken(token.requirement(), expected.to_string(), seen.to_string(), &steps)))
}

/// What is odd about a token, for a reader.
fn told(token: &Token) -> String {
    let plain = Token::good(token.module);
    let mut odd = Vec::new();
    let mut note = |differs: bool, what: String| odd.extend(differs.then_some(what));
    note(token.key != plain.key, format!("key {:?}", token.key));
    note(token.host != plain.host, format!("host {:?}", token.host));
    note(token.audience != plain.audience, format!("audience {:?}", token.audience));
    note(token.encoded != plain.encoded, format!("an audience encoded {} times", token.encoded));
    note(token.lifetime_secs < 0, format!("expired {} s ago", -token.lifetime_secs));
    note(token.order != plain.order, "fields in another order".to_owned());
    note(token.text != plain.text, format!("text {:?}", token.text));
    if odd.is_empty() { "a token of its own".to_owned() } else { format!("a token: {}", odd.join(", ")) }
}

async fn one_by_one(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    for module in [true, false] {
        let good = Token::good(module);
        let with_key = |key| Token { key, ..good.clone() };
        let with_text = |text| Token { text, ..good.clone() };
        let living = |lifetime_secs| Token { lifetime_secs, ..good.clone() };
        let mut rows = vec![
            good.clone(),
            Token { encoded: 0, ..good.clone() },
            Token { encoded: 2, ..good.clone() },
            Token { encoded: 3, ..good.clone() },
            with_key(Key::OfAnother),
            with_key(Key::Secondary),
            Token { key: Key::OfTheDevice, audience: Audience::Device, ..good.clone() },
            Token { audience: Audience::Another, ..good.clone() },
            Token { host: Host::Foreign, ..good.clone() },
            Token { host: Host::Gateway, ..good.clone() },
            Token { host: Host::Capitals, ..good.clone() },
            living(-200),
            living(-280),
            living(-320),
            with_text(Text::NoNumber),
            with_text(Text::Unescaped),
        ];
        rows.extend((0..3).map(|field| with_text(Text::Missing(field))));
        for row in rows {
            if let Some(found) = judged(environment, &row).await? {
                return Ok(ended(Some(found)));
            }
        }
    }
    Ok(Outcome::Conforms)
}

/// Tokens that would be good, of a device that is disabled and of one that does not exist.
async fn nobody(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let disabled = proper(environment, &device(BANNED));
    let host = environment.iot_hub_host();
    let known = proper(environment, &device(VISITOR));
    let unknown = Connect {
        client_id: "ghost".to_owned(),
        user_name: Some(format!("{host}/ghost/?api-version=2021-04-12")),
        ..known.clone()
    };
    for (what, connect) in [("a disabled device", disabled), ("a device nobody knows", unknown)] {
        let seen = ask(environment, "nobody", &connect).await?;
        if seen != Seen::Code(5) {
            let steps = [format!("{what} connects with a well-formed token")];
            return Ok(ended(Some(broken("MQTT-AUTH-01", "CONNACK 0x05", seen.to_string(), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

/// A client that shows a certificate, and what the hub must say.
struct Showing<'a> {
    requirement: &'static str,
    what: &'static str,
    identity: Identity,
    certificate: &'a Issued,
    password: Option<&'static [u8]>,
    expected: u8,
}

async fn certificates(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let made = |name: &str, lifetime: Option<u64>, is_authority| {
        let lifetime = lifetime.map(Duration::from_secs);
        let device = DeviceCertificate { common_name: name.to_owned(), lifetime, is_authority };
        let own = device.self_signed().map_err(StartError::Pki)?;
        Ok::<_, StageError>((own, environment.issue(&device)?))
    };
    let (forged, in_name) = made(ISSUED_CERTIFICATE, Some(3600), false)?;
    let (_, expired) = made(ISSUED_CERTIFICATE, None, false)?;
    let (_, authority) = made(ISSUED_CERTIFICATE, Some(3600), true)?;
    let (_, misspelt) = made("Certified", Some(3600), false)?;
    let (_, of_module) = made(GUEST, Some(3600), false)?;
    let (renewed, _) = made(OWN_CERTIFICATE, Some(3600), false)?;
    let kept = |id: &str| {
        environment.certificate(&device(id)).ok_or_else(|| StageError::Absent(format!("certificate of {id}")))
    };
    let (own, second) = (kept(OWN_CERTIFICATE)?, kept(SECOND_CERTIFICATE)?);
    let (bygone, issued) = (kept(EXPIRED_CERTIFICATE)?, kept(ISSUED_CERTIFICATE)?);
    let row = |requirement, what, identity, certificate, expected| Showing {
        requirement,
        what,
        identity,
        certificate,
        password: None,
        expected,
    };
    let wrong: Option<&'static [u8]> = Some(b"SharedAccessSignature sr=a&sig=b&se=9999999999");
    let rows = [
        row("MQTT-AUTH-05", "its certificate, known by its thumbprint", device(OWN_CERTIFICATE), own, 0),
        row("MQTT-AUTH-05", "its certificate, the second of two known", device(SECOND_CERTIFICATE), second, 0),
        row("MQTT-AUTH-05", "a certificate of its authority", device(ISSUED_CERTIFICATE), issued, 0),
        row("MQTT-AUTH-05", "another certificate of its authority", device(ISSUED_CERTIFICATE), &in_name, 0),
        row("MQTT-AUTH-05", "a certificate with another thumbprint", device(OWN_CERTIFICATE), &renewed, 5),
        row("MQTT-AUTH-05", "the certificate of another device", device(OWN_CERTIFICATE), second, 5),
        row("MQTT-AUTH-05", "its certificate, which has expired", device(EXPIRED_CERTIFICATE), bygone, 5),
        row("MQTT-AUTH-05", "a certificate in its name, signed by itself", device(ISSUED_CERTIFICATE), &forged, 5),
        row("MQTT-AUTH-05", "an expired certificate of its authority", device(ISSUED_CERTIFICATE), &expired, 5),
        row("MQTT-AUTH-05", "a certificate that may sign others", device(ISSUED_CERTIFICATE), &authority, 5),
        row("MQTT-AUTH-05", "a certificate in its name, in other letters", device(ISSUED_CERTIFICATE), &misspelt, 5),
        row("MQTT-AUTH-05", "a certificate, while it is known by its keys", device(VISITOR), &in_name, 5),
        row("MQTT-AUTH-06", "a certificate of a trusted authority in its name", module(GUEST), &of_module, 5),
        Showing {
            password: wrong,
            ..row("MQTT-AUTH-07", "its certificate and a wrong token", device(OWN_CERTIFICATE), own, 5)
        },
        Showing {
            password: wrong,
            ..row("MQTT-AUTH-07", "its certificate and a wrong token", device(ISSUED_CERTIFICATE), issued, 5)
        },
        Showing {
            password: Some(b""),
            ..row("MQTT-AUTH-05", "its certificate and an empty password", device(OWN_CERTIFICATE), own, 0)
        },
    ];
    for row in rows {
        let found = shown(environment, &row).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    let good = proper(environment, &module(GUEST));
    let handshake = Handshake { version: None, certificate: Some(&forged) };
    let mut raw = environment.raw_with("both", handshake).await?;
    raw.write(&good.bytes()).await;
    let seen = answer(&mut raw).await;
    let steps = ["module guest shows a certificate nobody knows, and a good token".to_owned()];
    Ok(ended((seen != Seen::Code(0)).then(|| broken("MQTT-AUTH-07", "CONNACK 0x00", seen.to_string(), &steps))))
}

async fn shown(environment: &Environment, row: &Showing<'_>) -> Result<Option<Violation>, StageError> {
    let steps = [format!("{} shows {}", row.identity, row.what)];
    let expected = Seen::Code(row.expected);
    let connect =
        Connect { password: row.password.map(<[u8]>::to_vec), ..without_password(&proper(environment, &row.identity)) };
    let handshake = Handshake { version: None, certificate: Some(row.certificate) };
    let seen = match environment.raw_with("certificate", handshake).await {
        Ok(mut raw) => {
            raw.write(&connect.bytes()).await;
            answer(&mut raw).await
        }
        Err(error) => Seen::Other(error.to_string()),
    };
    Ok((seen != expected).then(|| broken(row.requirement, expected.to_string(), seen.to_string(), &steps)))
}

/// How long the grace of the token still lasts that the test connects with.
const GOOD_FOR_SECS: i64 = 2;

/// How long a hub that was told to look at credentials every second may take until it does. The reference hub obeys;
/// with the product five minutes are fixed.
pub(crate) fn second_look(environment: &Environment) -> Deadline {
    if environment.can(Ability::Hasten) { deadline::TIME_LIMIT } else { deadline::REAUTHENTICATION }
}

async fn outlived(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = worker.blueprint().clone();
    blueprint.settings.push(("edgecert__reauthenticationSecs".to_owned(), "1".to_owned()));
    let environment = worker.environment(&blueprint).await?;
    let (mut lasting, _) = enter(&environment, &device(VISITOR), |_| {}).await?;
    let nearly = Token { lifetime_secs: GOOD_FOR_SECS - 300, ..Token::good(true) };
    let token = nearly.write(&environment, &module(GUEST));
    let (mut short, _) =
        enter(&environment, &module(GUEST), |connect| connect.password = Some(token.into_bytes())).await?;
    let steps = [
        "leaf device visitor connects with a token that is good for an hour".to_owned(),
        format!("module guest connects with a token whose five minutes of grace end in {GOOD_FOR_SECS} s"),
    ];
    // Both are pinged, so that no limit of keep alive has a part in this.
    let closed = second_look(&environment).wait("the hub to close module guest's connection", async {
        while matches!(short.ping().await, Ok(Some(_))) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if !matches!(lasting.ping().await, Ok(Some(_))) {
                return false;
            }
        }
        true
    });
    let observed = match closed.await {
        Ok(true) if matches!(lasting.ping().await, Ok(Some(_))) => None,
        Ok(_) => Some("leaf device visitor's connection is closed".to_owned()),
        Err(expired) => Some(expired.to_string()),
    };
    environment.stop().await;
    let expected = "module guest's connection is closed, and leaf device visitor's is not";
    Ok(ended(observed.map(|observed| broken("MQTT-AUTH-08", expected, observed, &steps))))
}
