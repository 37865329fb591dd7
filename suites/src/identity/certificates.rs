//! Certificates that are known by an older kind of thumbprint. Covers AUTH-013; `mqtt_head::authentication` has the rest.

use harness::client::raw_mqtt::Connect;
use harness::environment::{Credential, Handshake};
use harness::outcome::Outcome;
use harness::runner::{Test, Worker};
use harness::stage::StageError;

use crate::course::{broken, ended};
use crate::declare::fixed;
use crate::mqtt_head::guest::{Seen, answer, device, proper, without_password};

/// A device whose certificate is known by its SHA-1.
const VETERAN: &str = "veteran";
/// A device whose certificate is known by its SHA-256.
const YOUNG: &str = "young";

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![fixed("identity", "identity::certificates::either_kind_of_thumbprint_will_do", &["AUTH-013"], |worker| {
        Box::pin(either(worker))
    })]
}

/// Each with its own certificate, and with the other's.
async fn either(worker: &mut Worker) -> Result<Outcome, StageError> {
    let mut blueprint = super::newcomer::blueprint();
    blueprint.guests = vec![(device(VETERAN), Credential::OlderThumbprint), (device(YOUNG), Credential::Thumbprint)];
    worker.set_stage(blueprint);
    let environment = worker.stage().await?.environment();
    for (who, whose, code) in [(VETERAN, VETERAN, 0), (YOUNG, YOUNG, 0), (VETERAN, YOUNG, 5), (YOUNG, VETERAN, 5)] {
        let certificate = environment.certificate(&device(whose));
        let connect: Connect = without_password(&proper(environment, &device(who)));
        let mut raw = environment.raw_with(who, Handshake { version: None, certificate }).await?;
        raw.write(&connect.bytes()).await;
        let seen = answer(&mut raw).await;
        if seen != Seen::Code(code) {
            let kind = if whose == VETERAN { "SHA-1" } else { "SHA-256" };
            let steps = [format!("leaf device {who} shows the certificate of {whose}, which is known by its {kind}")];
            return Ok(ended(Some(broken("AUTH-013", Seen::Code(code).to_string(), seen.to_string(), &steps))));
        }
    }
    Ok(Outcome::Conforms)
}
