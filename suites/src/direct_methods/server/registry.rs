//! What devices ask of the registry, and hubs below of the scope. Covers HTTP-09 to -12.

use harness::client::https::{HttpsAnswer, HttpsClient, HttpsRequest};
use harness::client::sas;
use harness::deadline;
use harness::environment::{Environment, Handshake};
use harness::observe::history::Identity;
use harness::outcome::{Outcome, Violation};
use harness::runner::{Test, Worker};
use harness::stage::StageError;
use serde_json::{Value, json};

use super::super::ground::{METER, OPERATOR, PROXY, device, module, shown};
use super::{Answered, Wanted};
use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::mqtt_head::guest::OWN_CERTIFICATE;

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        fixed(
            "direct_methods",
            "direct_methods::server::registry::a_device_keeps_its_own_modules",
            &["HTTP-09", "HTTP-10", "HTTP-11"],
            |worker| Box::pin(modules_of_a_device(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::server::registry::a_certificate_speaks_for_its_device",
            &["HTTP-06", "HTTP-07"],
            |worker| Box::pin(by_certificate(worker)),
        ),
        fixed(
            "direct_methods",
            "direct_methods::server::registry::only_hubs_ask_for_the_scope",
            &["HTTP-12"],
            |worker| Box::pin(scope(worker)),
        ),
    ]
}

const VERSION: &str = "?api-version=2021-04-12";

async fn ask(
    environment: &Environment,
    https: &HttpsClient,
    verb: &str,
    target: &str,
    by: &Identity,
    body: Option<Value>,
) -> Answered {
    let mut request = HttpsRequest::new(verb, target).token(environment.token(by));
    if let Some(body) = body {
        request = request.json(body.to_string());
    }
    https.send(&request, deadline::METHOD).await
}

async fn modules_of_a_device(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let meter = device(METER);
    let list = format!("/devices/{METER}/modules");
    let steps = [format!("leaf device {METER} asks for its modules, without api-version")];
    let answered = ask(environment, &https, "GET", &list, &meter, None).await;
    let wanted = Wanted::empty(400).with("iothub-errorcode", "InvalidProtocolVersion");
    if let Some(found) = wanted.judge("HTTP-09", &answered, &steps) {
        return Ok(ended(Some(found)));
    }
    let steps = [format!("leaf device {METER} asks for its modules, with an empty api-version")];
    let answered = ask(environment, &https, "GET", &format!("{list}?api-version="), &meter, None).await;
    if !right(&answered, |answer| answer.status == 200 && answer.json().is_some_and(|body| body.is_array())) {
        return Ok(ended(Some(broken("HTTP-09", "status 200 with a list", shown(&answered), &steps))));
    }
    if let Some(found) = strangers(environment, &https).await {
        return Ok(ended(Some(found)));
    }
    let one = format!("/devices/{METER}/modules/probe1{VERSION}");
    for (device_id, module_id) in [(METER, "other"), ("other", "probe1")] {
        let body = json!({ "deviceId": device_id, "moduleId": module_id });
        let steps = [format!("leaf device {METER} puts {body} to {one}")];
        let answered = ask(environment, &https, "PUT", &one, &meter, Some(body)).await;
        if !right(&answered, |answer| answer.status == 400) {
            return Ok(ended(Some(broken("HTTP-11", "status 400", shown(&answered), &steps))));
        }
    }
    Ok(ended(life(environment, &https, &one).await))
}

fn right(answered: &Answered, is: impl Fn(&HttpsAnswer) -> bool) -> bool {
    answered.as_ref().is_ok_and(is)
}

/// Registry calls authenticate as the device in the path, and as nobody else.
async fn strangers(environment: &Environment, https: &HttpsClient) -> Option<Violation> {
    let edge = &environment.blueprint().edge_device;
    let body = json!({ "deviceId": METER, "moduleId": "probe1" });
    for by in [module(OPERATOR), device("leaf1")] {
        for (verb, target, body) in [
            ("GET", format!("/devices/{METER}/modules{VERSION}"), None),
            ("GET", format!("/devices/{edge}/modules{VERSION}"), None),
            ("GET", format!("/devices/{edge}/modules/{OPERATOR}{VERSION}"), None),
            ("GET", format!("/devices/{METER}/modules/probe1{VERSION}"), None),
            ("PUT", format!("/devices/{METER}/modules/probe1{VERSION}"), Some(body.clone())),
            ("DELETE", format!("/devices/{METER}/modules/probe1{VERSION}"), None),
        ] {
            let steps = [format!("{verb} {target} with the token of {by}")];
            let answered = ask(environment, https, verb, &target, &by, body).await;
            let found = Wanted::empty(401).judge("HTTP-10", &answered, &steps);
            if found.is_some() {
                return found;
            }
        }
    }
    None
}

/// A module that its device creates, finds and deletes.
async fn life(environment: &Environment, https: &HttpsClient, one: &str) -> Option<Violation> {
    let meter = device(METER);
    let body = json!({ "deviceId": METER, "moduleId": "probe1" });
    for (verb, body, statuses) in
        [("PUT", Some(body), &[200_u16, 201][..]), ("GET", None, &[200]), ("DELETE", None, &[200, 204])]
    {
        let steps = [format!("leaf device {METER} asks {verb} {one}")];
        let answered = ask(environment, https, verb, one, &meter, body).await;
        let named =
            |answer: &HttpsAnswer| verb == "DELETE" || answer.json().is_some_and(|body| body["moduleId"] == "probe1");
        if !right(&answered, |answer| statuses.contains(&answer.status) && named(answer)) {
            let expected = format!("the answer of the cloud, with one of the statuses {statuses:?}");
            return Some(broken("HTTP-11", expected, shown(&answered), &steps));
        }
    }
    let steps = [format!("leaf device {METER} asks GET {one}, which it deleted")];
    let answered = ask(environment, https, "GET", one, &meter, None).await;
    (!right(&answered, |answer| answer.status == 404))
        .then(|| broken("HTTP-11", "status 404, as the cloud says", shown(&answered), &steps))
}

/// A device that is known by its certificate asks with it; what else it shows is not looked at. From another's hands the
/// certificate is good only when the proxy module hands it on.
async fn by_certificate(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let asker = device(OWN_CERTIFICATE);
    let certificate = environment.certificate(&asker).ok_or_else(|| StageError::Absent(format!("{asker}")))?;
    let target = format!("/devices/{OWN_CERTIFICATE}/modules{VERSION}");
    let ask = |authorization: Option<String>, forwarded: bool| {
        let mut request = HttpsRequest::new("GET", target.as_str());
        if let Some(token) = authorization {
            request = request.token(token);
        }
        if forwarded {
            request = request.header("x-ms-edge-clientcert", sas::escape(&certificate.certificate_chain_pem));
        }
        request
    };
    let with = environment.https_with(Handshake { version: None, certificate: Some(certificate) })?;
    let without = environment.https();
    let of = |id: &str| Some(environment.token(&module(id)));
    let rows = [
        ("HTTP-06", "its certificate", &with, ask(None, false), 200),
        ("HTTP-06", "its certificate and a token of module operator", &with, ask(of(OPERATOR), false), 200),
        ("HTTP-06", "its certificate and what is no token", &with, ask(Some("nonsense".to_owned()), false), 200),
        ("HTTP-07", "its certificate in a header, from module operator", &without, ask(of(OPERATOR), true), 401),
        ("HTTP-07", "its certificate in a header, from nobody", &without, ask(None, true), 401),
        ("HTTP-07", "its certificate in a header, from the proxy", &without, ask(of(PROXY), true), 200),
    ];
    for (requirement, shows, https, request, status) in rows {
        let steps = [format!("GET {target} with {shows}")];
        let answered = https.send(&request, deadline::METHOD).await;
        if !right(&answered, |answer| answer.status == status) {
            return Ok(ended(Some(broken(requirement, format!("status {status}"), shown(&answered), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}

async fn scope(worker: &mut Worker) -> Result<Outcome, StageError> {
    let environment = worker.stage().await?.environment();
    let https = environment.https();
    let edge = environment.blueprint().edge_device.clone();
    let whole = json!({ "pageSize": 10, "authChain": edge });
    let one = json!({ "targetDeviceId": METER, "authChain": format!("{METER};{edge}") });
    for (call, body) in [("devicesAndModulesInTargetDeviceScope", whole.clone()), ("getDeviceAndModuleOnBehalfOf", one)]
    {
        let target = format!("/devices/{edge}/modules/{OPERATOR}/{call}?api-version=2020-06-30-preview");
        let steps = [format!("module {OPERATOR} asks POST {target} with {body}")];
        // One connection for each: it may be cut behind the answer.
        let answered = ask(environment, &environment.https(), "POST", &target, &module(OPERATOR), Some(body)).await;
        if !right(&answered, |answer| answer.status == 401) {
            return Ok(ended(Some(broken("HTTP-12", "status 401", shown(&answered), &steps))));
        }
    }
    let target = format!(
        "/devices/{edge}/modules/%24edgeHub/devicesAndModulesInTargetDeviceScope?api-version=2020-06-30-preview"
    );
    let steps = [format!("a hub of {edge} asks POST {target} with {whole}")];
    let answered = ask(environment, &https, "POST", &target, &module("$edgeHub"), Some(whole)).await;
    let listed = |answer: &HttpsAnswer| {
        let body = answer.json().unwrap_or_default();
        let has = |list: &str, name: &str, id: &str| {
            body[list].as_array().is_some_and(|entries| entries.iter().any(|entry| entry[name] == id))
        };
        answer.status == 200 && has("devices", "deviceId", &edge) && has("modules", "moduleId", OPERATOR)
    };
    let expected = format!("status 200, with device {edge} and module {OPERATOR}");
    Ok(ended((!right(&answered, listed)).then(|| broken("HTTP-12", expected, shown(&answered), &steps))))
}
