//! Who may call: the header that names the caller, and its token. Covers METHOD-AUTH.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use harness::client::https::{CALLER, HttpsClient, HttpsRequest};
use harness::client::sas;
use harness::deadline;
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::{Stage, StageError};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::ground::{
    CLERK, Callee, Calling, METER, OPERATOR, PUMP, VALVE, body, client_id, device, judged, module, nothing_else, path,
    request, shown,
};
use crate::course::{broken, ended};
use crate::declare::{fixed, property};
use crate::mqtt_head::authentication::token::{Token, tokens};
use crate::oracle::method::{Answer, answer, caller};
use crate::oracle::mqtt::token::{self, Claim, Stored, Verdict};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        property(
            "direct_methods",
            "direct_methods::callers::a_caller_is_judged_by_its_rules",
            &["METHOD-AUTH-01", "METHOD-AUTH-02", "METHOD-AUTH-03", "METHOD-AUTH-04", "METHOD-AUTH-05"],
            4,
            credentials,
            |stage, shown| Box::pin(holds(stage, shown)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::callers::each_fault_of_a_caller_is_refused_in_its_words",
            &["METHOD-AUTH-01", "METHOD-AUTH-02", "METHOD-AUTH-03", "METHOD-AUTH-04", "METHOD-AUTH-06"],
            |worker| Box::pin(one_by_one(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::callers::every_module_may_call_every_client",
            &["METHOD-AUTH-05", "METHOD-RCV-05", "METHOD-INV-29"],
            |worker| Box::pin(all_pairs(worker)),
        ),
    ]
}

/// What a caller shows: the header that names it, and `Authorization`.
#[derive(Debug, Clone)]
enum Shown {
    /// The token of module operator, under a header that is its own.
    Token(Token),
    /// Another header, with the good token of module operator. `{}` stands for the edge device.
    Header(Option<&'static str>),
    /// Something that is no token.
    Text(&'static str),
    /// Nothing.
    Nothing,
}

fn credentials() -> impl Strategy<Value = Shown> {
    prop_oneof![
        6 => tokens().prop_map(|token| Shown::Token(Token { module: true, ..token })),
        3 => select(HEADERS.to_vec()).prop_map(Shown::Header),
        1 => select(TEXTS.to_vec()).prop_map(Shown::Text),
        1 => Just(Shown::Nothing),
    ]
}

/// Headers that name a caller, or try to.
const HEADERS: [Option<&str>; 17] = [
    Some("{}/operator"),
    None,
    Some(""),
    Some("operator"),
    Some("/operator"),
    Some("{}/"),
    Some("/"),
    Some("{}/operator/x"),
    Some("{}//operator"),
    Some("{}/Operator"),
    Some("{}/clerk"),
    Some("{}/nobody"),
    Some("GW7/operator"),
    Some("elsewhere/operator"),
    Some("meter"),
    Some("meter/"),
    Some("meter/operator"),
];

/// Texts in the place of a token.
const TEXTS: [&str; 5] =
    ["Bearer abc", "Basic dXNlcjpwYXNz", "SharedAccessSignature", "SharedAccessSignature x", "sr=a&sig=b&se=1"];

impl Shown {
    fn header(&self, environment: &Environment) -> Option<String> {
        let edge = &environment.blueprint().edge_device;
        match self {
            Shown::Header(header) => header.map(|header| header.replace("{}", edge)),
            _ => Some(format!("{edge}/{OPERATOR}")),
        }
    }

    fn authorization(&self, environment: &Environment) -> Option<String> {
        match self {
            Shown::Token(token) => Some(token.write(environment, &module(OPERATOR))),
            Shown::Header(_) => Some(environment.token(&module(OPERATOR))),
            Shown::Text(text) => Some((*text).to_owned()),
            Shown::Nothing => None,
        }
    }
}

/// The request of a caller that shows this.
fn written(environment: &Environment, target: &Identity, header: Option<&str>, token: Option<&str>) -> HttpsRequest {
    let mut request = HttpsRequest::new("POST", path(environment, target)).json(body("ask", &Value::Null).to_string());
    request.headers.extend(header.map(|header| (CALLER.to_owned(), header.to_owned())));
    request.headers.extend(token.map(|token| ("authorization".to_owned(), token.to_owned())));
    request
}

/// What the hub must say to it; `None` when it must let it call.
fn verdict(environment: &Environment, header: Option<&str>, authorization: Option<&str>) -> Option<Answer> {
    match caller::named(header, &environment.blueprint().edge_device) {
        Err(refused) => Some(refused),
        Ok((device, module)) => {
            let name = format!("{device}/{module}");
            caller::unproven(authorization, &name, |token| of_token(environment, device, module, token))
        }
    }
}

/// A module's token is judged against its own keys, and against those of its device.
fn of_token(environment: &Environment, device: &str, id: &str, text: &str) -> Verdict {
    let gateway = environment.hub_address().to_string();
    let claim = Claim { iot_hub: environment.iot_hub_host(), gateway: &gateway, device, module: Some(id) };
    let now_ms = i64::try_from(sas::now_secs()).expect("the year is not that late") * 1000;
    let identities = [module(id), Identity::LeafDevice(device.to_owned())];
    // Whoever is not registered has no keys; what is wrong with the text itself shows all the same.
    let keys = if environment.keys(&identities[0]).is_some() { &identities[..] } else { &[] };
    let mut worst = match token::judge(text, now_ms, &claim, &NOBODY) {
        unreadable @ (Verdict::Unreadable | Verdict::Expired) => return unreadable,
        _ => Verdict::Identity,
    };
    for identity in keys {
        let Some((primary, secondary)) = environment.keys(identity) else { continue };
        worst = token::judge(text, now_ms, &claim, &Stored { symmetric: true, enabled: true, primary, secondary });
        if worst == Verdict::Good {
            break;
        }
    }
    worst
}

/// An identity without keys.
const NOBODY: Stored<'_> = Stored { symmetric: false, enabled: true, primary: "", secondary: "" };

fn holds<'a>(stage: &'a mut Stage, shown: &'a Shown) -> BoxFuture<'a, Result<Option<Violation>, StageError>> {
    Box::pin(async move {
        let environment = stage.environment();
        let (header, authorization) = (shown.header(environment), shown.authorization(environment));
        let requirement = match shown {
            Shown::Header(Some("{}/clerk")) => "METHOD-AUTH-04",
            Shown::Header(_) => "METHOD-AUTH-01",
            Shown::Token(token) if token.is_good() => "METHOD-AUTH-05",
            _ => "METHOD-AUTH-03",
        };
        let https = Arc::new(environment.https());
        let mut callee = Callee::listen(environment, &module(PUMP)).await?;
        judge(environment, &https, &mut callee, requirement, header.as_deref(), authorization.as_deref()).await
    })
}

/// Calls, and judges whether the hub lets it through; the callee answers what comes.
async fn judge(
    environment: &Environment,
    https: &Arc<HttpsClient>,
    callee: &mut Callee,
    requirement: &str,
    header: Option<&str>,
    authorization: Option<&str>,
) -> Result<Option<Violation>, StageError> {
    let steps = [
        format!("a call to {} with {CALLER} {header:?}", callee.identity),
        format!("and Authorization {authorization:?}"),
    ];
    let request = written(environment, &callee.identity, header, authorization);
    let expected = verdict(environment, header, authorization);
    let mut calling = Calling::begin(https, request, deadline::METHOD);
    let came = tokio::select! {
        biased;
        came = callee.next(deadline::METHOD) => came.map_err(Err),
        answered = calling.end() => Err(Ok(answered)),
    };
    match (expected, came) {
        (None, Ok(came)) => {
            callee.answer(&came.id, "200", "1").await?;
            let answered = calling.end().await;
            Ok(judged(requirement, &answer::answered("200", b"1"), &answered, &steps))
        }
        (None, Err(observed)) => {
            let observed = observed.map_or_else(|observed| observed, |answered| shown(&answered));
            Ok(Some(broken(requirement, format!("the call comes to {}", callee.identity), observed, &steps)))
        }
        (Some(expected), Ok(came)) => {
            callee.answer(&came.id, "200", "1").await?;
            let observed = format!("the call comes to {}", callee.identity);
            Ok(Some(broken(requirement, expected.to_string(), observed, &steps)))
        }
        (Some(expected), Err(Err(observed))) => Ok(Some(broken(requirement, expected.to_string(), observed, &steps))),
        (Some(expected), Err(Ok(answered))) => {
            let found = judged(requirement, &expected, &answered, &steps);
            if found.is_some() {
                return Ok(found);
            }
            let nothing = nothing_else(environment, https, callee).await?;
            let expected = format!("nothing comes to {}", callee.identity);
            Ok(nothing.err().map(|observed| broken("METHOD-AUTH-03", expected, observed, &steps)))
        }
    }
}

async fn one_by_one(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let https = Arc::new(environment.https());
    let mut pump = Callee::listen(environment, &module(PUMP)).await?;
    let edge = environment.blueprint().edge_device.clone();
    let own = environment.token(&module(OPERATOR));
    let of_clerk = environment.token(&module(CLERK));
    let of_meter = environment.token(&device(METER));
    let operator = format!("{edge}/{OPERATOR}");
    let long_ago = Token { lifetime_secs: -4000, ..Token::good(true) }.write(environment, &module(OPERATOR));
    let mut rows: Vec<(&str, Option<String>, Option<String>)> = Vec::new();
    // Before the others, which they resemble: what is broken first is what is told.
    rows.push(("METHOD-AUTH-04", Some(operator.clone()), Some(of_clerk)));
    rows.push(("METHOD-AUTH-04", Some(format!("{edge}/{CLERK}")), Some(own.clone())));
    for header in [METER.to_owned(), format!("{METER}/"), format!("{METER}/{METER}"), format!("{METER}/{OPERATOR}")] {
        rows.push(("METHOD-AUTH-06", Some(header), Some(of_meter.clone())));
    }
    rows.push(("METHOD-AUTH-06", Some(format!("{edge}/{METER}")), Some(of_meter.clone())));
    for header in HEADERS {
        let header = header.map(|header| header.replace("{}", &edge));
        let requirement = match caller::named(header.as_deref(), &edge) {
            Err(answer) if answer.status() == 401 => "METHOD-AUTH-02",
            Ok((_, CLERK)) => "METHOD-AUTH-04",
            _ => "METHOD-AUTH-01",
        };
        rows.push((requirement, header, Some(own.clone())));
    }
    // Before credentials are looked at.
    rows.push(("METHOD-AUTH-02", Some("elsewhere/operator".to_owned()), None));
    for text in TEXTS.into_iter().map(str::to_owned).chain([long_ago, own.replacen("SharedAccess", "sharedaccess", 1)])
    {
        rows.push(("METHOD-AUTH-03", Some(operator.clone()), Some(text)));
    }
    rows.push(("METHOD-AUTH-03", Some(operator.clone()), None));
    rows.push(("METHOD-AUTH-03", Some(operator), Some(of_meter)));
    for (requirement, header, token) in rows {
        let found = judge(environment, &https, &mut pump, requirement, header.as_deref(), token.as_deref()).await?;
        if found.is_some() {
            return Ok(ended(found));
        }
    }
    Ok(Outcome::Conforms)
}

/// Everybody who may call calls everybody who listens, all side by side.
async fn all_pairs(worker: &mut Worker) -> Result<Outcome, StageError> {
    let stage = worker.stage().await?;
    let environment = stage.environment();
    let https = Arc::new(environment.https());
    let modules = [PUMP, VALVE, OPERATOR, CLERK];
    let targets: Vec<Identity> = modules.into_iter().map(module).chain([device(METER)]).collect();
    let mut callees = Vec::new();
    for target in &targets {
        callees.push(Callee::listen(environment, target).await?);
    }
    let mut calls = Vec::new();
    for caller in modules {
        for target in &targets {
            let argument = json!({ "from": caller, "to": client_id(environment, target) });
            let body = body("introduce", &argument).to_string();
            let calling = Calling::begin(&https, request(environment, caller, target, body), deadline::METHOD);
            calls.push((caller, target, argument, calling));
        }
    }
    // Each callee tells the caller who it is; a request that came to another would be answered by the wrong one.
    let serving = async {
        let serve = callees.iter_mut().map(|callee| async {
            let id = client_id(environment, &callee.identity);
            while let Some(request) = callee.client.next().await {
                let asked: Value = serde_json::from_slice(&request.payload).unwrap_or_default();
                let answer = json!({ "asked": asked, "by": id }).to_string();
                let _ = callee.answer(&request.id, "200", answer).await;
            }
        });
        futures_util::future::join_all(serve).await;
    };
    let judging = async {
        for (caller, target, argument, mut calling) in calls {
            let told = json!({ "asked": argument, "by": client_id(environment, target) });
            let expected = answer::answered("200", told.to_string().as_bytes());
            let steps = [format!("module {caller} calls {target}, while all others call each other")];
            let itself = *target == module(caller);
            let requirement = if itself { "METHOD-INV-29" } else { "METHOD-AUTH-05" };
            let found = judged(requirement, &expected, &calling.end().await, &steps);
            if found.is_some() {
                return found;
            }
        }
        None
    };
    let found = tokio::select! {
        found = judging => found,
        _ = serving => Some(broken("METHOD-RCV-05", "every callee stays connected", "all connections ended", &[])),
    };
    Ok(ended(found))
}
