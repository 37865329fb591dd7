//! Tokens over HTTPS: judged by the rules that hold over MQTT, which `mqtt_head::authentication` has. Covers AUTH-001
//! to -005 and -012.
//!
//! Who is believed is told that nobody is there to be called; who is not, that it is not believed.

use futures_util::future::BoxFuture;
use harness::client::https::{CALLER, HttpsRequest};
use harness::client::sas;
use harness::deadline;
use harness::environment::{Credential, Environment};
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};

use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use crate::mqtt_head::authentication::token::{Audience, Host, Key, Text, Token, tokens};
use crate::mqtt_head::guest::{GUEST, Seen, ask, device, module, proper};

const COVERED: [&str; 5] = ["AUTH-001", "AUTH-002", "AUTH-003", "AUTH-004", "AUTH-005"];
/// A module with a name that has to be encoded.
pub const ODD_MODULE: &str = "odd@m(1)";
/// A device with such a name.
pub const ODD_DEVICE: &str = "l@(1)!2";

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "identity",
            "identity::tokens::over_https_a_token_is_judged_by_the_same_rules",
            &COVERED,
            2,
            tokens,
            holds,
        ),
        fixed("identity", "identity::tokens::over_https_each_fault_of_a_token_refuses_it", &COVERED, |worker| {
            Box::pin(one_by_one(worker))
        }),
        fixed("identity", "identity::tokens::a_token_speaks_for_nobody_else", &["AUTH-005"], |worker| {
            Box::pin(nobody_else(worker))
        }),
        fixed("identity", "identity::tokens::ids_are_understood_however_often_encoded", &["AUTH-012"], |worker| {
            Box::pin(encoded(worker))
        }),
    ]
}

fn holds<'a>(stage: &'a mut Stage, token: &'a Token) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    // Only modules may call methods.
    let token = Token { module: true, ..token.clone() };
    Box::pin(async move { judged(stage.environment(), &token).await })
}

async fn judged(environment: &Environment, token: &Token) -> Result<Option<Violation>, StageError> {
    let guest = module(GUEST);
    let text = token.write(environment, &guest);
    let steps = [format!("module guest calls a method over HTTPS with the token {text:?}"), format!("it is {token:?}")];
    let seen = calls(environment, "gw7/guest", &text).await;
    let expected = if token.is_good() { Believed::Yes } else { Believed::No };
    Ok((seen != expected).then(|| broken(requirement_of(token), expected.told(), seen.told(), &steps)))
}

/// The requirement that says what must become of a token.
fn requirement_of(token: &Token) -> &'static str {
    match token {
        Token { host: Host::Foreign | Host::Capitals | Host::Gateway, .. } => "AUTH-002",
        _ if token.lifetime_secs < 0 => "AUTH-003",
        Token { key: Key::OfAnother, .. } | Token { audience: Audience::Another | Audience::Slash, .. } => "AUTH-005",
        Token { audience: Audience::Device, .. } => "AUTH-004",
        _ => "AUTH-001",
    }
}

/// Whether a caller is believed, by what it is told.
#[derive(Debug, PartialEq, Eq)]
enum Believed {
    Yes,
    No,
    Else(String),
}

impl Believed {
    fn told(&self) -> String {
        match self {
            Believed::Yes => "status 404: it is believed, and nobody is there to be called".to_owned(),
            Believed::No => "status 401".to_owned(),
            Believed::Else(what) => what.clone(),
        }
    }
}

/// Calls a method of a module that is never there, as this caller and with this token.
async fn calls(environment: &Environment, caller: &str, token: &str) -> Believed {
    let request = HttpsRequest::new("POST", "/twins/gw7/modules/nobody/methods?api-version=2018-06-30")
        .token(token)
        .header(CALLER, caller)
        .json(r#"{"methodName":"ask","payload":null}"#);
    match environment.https().send(&request, deadline::CONNECT).await {
        Ok(answer) if answer.status == 404 && !answer.body.is_empty() => Believed::Yes,
        Ok(answer) if answer.status == 401 => Believed::No,
        Ok(answer) => Believed::Else(answer.to_string()),
        Err(error) => Believed::Else(error.to_string()),
    }
}

async fn one_by_one(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let good = Token::good(true);
    let with_key = |key| Token { key, ..good.clone() };
    let with_text = |text| Token { text, ..good.clone() };
    let living = |lifetime_secs| Token { lifetime_secs, ..good.clone() };
    let with_host = |host| Token { host, ..good.clone() };
    let mut rows = vec![
        good.clone(),
        with_key(Key::OfAnother),
        with_key(Key::Secondary),
        Token { key: Key::OfTheDevice, audience: Audience::Device, ..good.clone() },
        Token { audience: Audience::Another, ..good.clone() },
        with_host(Host::Foreign),
        with_host(Host::Gateway),
        with_host(Host::Capitals),
        living(-200),
        living(-280),
        living(-320),
        living(-4000),
        with_text(Text::NoNumber),
        with_text(Text::Unescaped),
    ];
    rows.extend((0..3).map(|field| with_text(Text::Missing(field))));
    for row in rows {
        let found = judged(environment, &row).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

/// Tokens that are good for one, shown by another: over HTTPS in the place of a caller, over MQTT in CONNECT.
async fn nobody_else(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let leaf = device("leaf1");
    let rows = [
        ("gw7/probe", module(GUEST), "module guest"),
        ("gw7/guest", module("probe"), "module probe"),
        ("gw7/guest", leaf.clone(), "leaf device leaf1"),
        ("gw7/GUEST", module(GUEST), "module guest"),
        ("leaf1/guest", leaf.clone(), "leaf device leaf1"),
    ];
    for (caller, whose, told) in rows {
        let seen = calls(environment, caller, &environment.token(&whose)).await;
        if seen != Believed::No {
            let steps = [format!("somebody calls a method as {caller} over HTTPS, with the token of {told}")];
            return Ok(ended(Some(broken("AUTH-005", Believed::No.told(), seen.told(), &steps))));
        }
    }
    let rows = [
        (module(GUEST), module("probe")),
        (module(GUEST), leaf.clone()),
        (device("visitor"), module(GUEST)),
        (device("visitor"), leaf.clone()),
    ];
    for (who, whose) in rows {
        let mut connect = proper(environment, &who);
        connect.password = Some(environment.token(&whose).into_bytes());
        let seen = ask(environment, "thief", &connect).await?;
        if seen != Seen::Code(5) {
            let steps = [format!("somebody connects as {who} with the token of {whose}")];
            return Ok(ended(Some(broken("AUTH-005", "CONNACK 0x05", seen.to_string(), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

/// The audience as a whole is decoded twice, and the ids in it once more.
async fn encoded(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = super::newcomer::blueprint();
    blueprint.guests = vec![(module(ODD_MODULE), Credential::Keys), (device(ODD_DEVICE), Credential::Keys)];
    worker.set_stage(blueprint);
    let environment = worker.stage().await?.environment();
    for who in [module(ODD_MODULE), device(ODD_DEVICE)] {
        for (ids, whole) in [(0, 0), (1, 0), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2), (3, 0), (0, 3), (2, 2)] {
            let text = token_of(environment, &who, ids, whole);
            let good = whole <= 2 && ids + whole <= 3;
            let steps = [format!("{who} shows the token {text:?}")];
            let mut connect = proper(environment, &who);
            connect.password = Some(text.clone().into_bytes());
            let seen = ask(environment, "odd", &connect).await?;
            let expected = Seen::Code(if good { 0 } else { 5 });
            if seen != expected {
                return Ok(ended(Some(broken("AUTH-012", expected.to_string(), seen.to_string(), &steps))));
            }
            if let Identity::Module(name) = &who {
                let seen = calls(environment, &format!("gw7/{name}"), &text).await;
                let expected = if good { Believed::Yes } else { Believed::No };
                if seen != expected {
                    return Ok(ended(Some(broken("AUTH-012", expected.told(), seen.told(), &steps))));
                }
            }
        }
    }
    Ok(Outcome::Conforms)
}

/// A token with its ids encoded so often, and the audience with them so often more.
fn token_of(environment: &Environment, who: &Identity, ids: usize, whole: usize) -> String {
    let often = |times: usize, text: &str| (0..times).fold(text.to_owned(), |text, _| sas::escape(&text));
    let id = |name: &str| often(ids, name);
    let path = match who {
        Identity::Module(name) => format!("gw7/modules/{}", id(name)),
        Identity::LeafDevice(name) => id(name),
    };
    let resource = often(whole, &format!("{}/devices/{path}", environment.iot_hub_host()));
    let expiry = (sas::now_secs() + 3600).to_string();
    let key = environment.keys(who).map(|(primary, _)| primary).unwrap_or_default();
    let signature = sas::escape(&sas::signature(key, &resource, &expiry).unwrap_or_default());
    format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}")
}
