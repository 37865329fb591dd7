//! Links to what belongs to somebody else: a module that has signed in gets at nothing but its own. Covers C2D-04 and
//! TWIN-ISO-02.

use harness::client::raw_amqp::peer::{Answer, Peer};
use harness::client::raw_amqp::performative::Attach;
use harness::environment::Environment;
use harness::observe::history::Identity;
use harness::runner::Test;
use harness::stage::Stage;

use super::talk::{CHANNEL, NOT_ALLOWED, Talk, Told, address, known, told};
use crate::mqtt_head::guest::{GUEST, HOST, VISITOR, device, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::other_identities::a_module_does_not_get_at_the_messages_of_a_device",
            &["C2D-04"],
            |stage, talk| Box::pin(messages(stage, talk)),
        ),
        told("amqp_head::other_identities::a_module_does_not_get_at_another_twin", &["TWIN-ISO-02"], |stage, talk| {
            Box::pin(twins(stage, talk))
        }),
    ]
}

/// Devices: that of the module, and one downstream.
fn devices(environment: &Environment) -> [Identity; 2] {
    [device(&environment.blueprint().edge_device), device(VISITOR)]
}

async fn refused(peer: &mut Peer, talk: &Talk, attach: Attach) -> Told {
    match peer.attach(CHANNEL, attach).await? {
        Answer::Refused(_, Some(error)) => talk.holds(error.condition == NOT_ALLOWED, error.condition),
        other => talk.holds(false, other),
    }
}

async fn messages(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (mut peer, _) = known(environment, &[&module(GUEST)]).await?;
    for owner in devices(environment) {
        talk.step(format!("module guest, which alone has signed in, asks for the messages of the cloud for {owner}"));
        talk.claim("C2D-04", format!("the link is refused with {NOT_ALLOWED}"));
        let name = format!("messages of {owner}");
        let address = address(environment, &owner, "messages/deviceBound");
        refused(&mut peer, talk, Attach::receiver(&name, &address)).await?;
    }
    Ok(())
}

async fn twins(stage: &mut Stage, talk: &mut Talk) -> Told {
    let environment = stage.environment();
    let (mut peer, _) = known(environment, &[&module(GUEST)]).await?;
    for owner in devices(environment).into_iter().chain([module(HOST)]) {
        talk.step(format!("module guest, which alone has signed in, asks for the twin of {owner}, either way"));
        talk.claim("TWIN-ISO-02", format!("both links are refused with {NOT_ALLOWED}"));
        let address = address(environment, &owner, "twin");
        refused(&mut peer, talk, Attach::sender(&format!("to the twin of {owner}"), &address)).await?;
        refused(&mut peer, talk, Attach::receiver(&format!("from the twin of {owner}"), &address)).await?;
    }
    Ok(())
}
