//! Who may have which link, and what becomes of connections.

use std::time::Duration;

use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp_types::definitions::{Fields, SenderSettleMode};
use serde_amqp::Value;
use serde_amqp::primitives::Symbol;

use super::world::{Peer, World, path, telemetry, token, token_signed};

const MIXED: SenderSettleMode = SenderSettleMode::Mixed;
const SETTLED: SenderSettleMode = SenderSettleMode::Settled;

async fn closes(peer: &mut Peer) -> String {
    let closed = tokio::time::timeout(Duration::from_secs(10), peer.connection.on_close()).await.expect("in time");
    format!("{closed:?}")
}

#[tokio::test]
async fn a_link_without_a_good_token_is_refused_and_the_session_goes_on() {
    let world = World::new();
    let mut peer = world.connect().await;
    let address = "/devices/leaf1/messages/events";
    for put in [None, Some(token_signed("leaf1", b"another key"))] {
        if let Some(token) = put {
            assert_eq!(peer.put(&token).await, 200);
        }
        let refused = peer.sender(address, MIXED).await.expect_err("refused");
        assert!(refused.contains("NotAllowed") && refused.contains("Unable to open Events link"), "{refused}");
        peer.begin_anew().await;
    }
    assert_eq!(peer.put(&token("leaf1")).await, 200);
    let mut events = peer.sender(address, MIXED).await.expect("attached");
    assert!(events.send(telemetry("", b"x")).await.expect("sent").is_accepted());
    let refused = peer.sender("/devices/edge1/modules/sensor/messages/events", MIXED).await;
    assert!(refused.expect_err("another identity").contains("NotAllowed"));
}

#[tokio::test]
async fn addresses_nobody_knows_are_refused() {
    let world = World::new();
    let mut peer = world.connect_as("leaf1").await;
    for address in ["/devices/leaf1/files", "/devices/leaf1/messages/deviceBound", "/devices/leaf1/twin/"] {
        let refused = peer.sender(address, MIXED).await.expect_err("refused");
        assert!(refused.contains("Matching template not found"), "{refused}");
        peer.begin_anew().await;
    }
    peer.receiver("/devices/leaf1/messages/events", MIXED).await.expect_err("a device has no inputs");
}

#[tokio::test]
async fn plain_is_one_identity_and_takes_no_tokens() {
    let world = World::new();
    let plain = |username: &str, password: String| SaslProfile::Plain { username: username.to_owned(), password };
    for (name, password) in
        [("leaf1@sas.hub.azure-devices.net", token("leaf1")), ("leaf1@sas.hub", token_signed("leaf1", b"x"))]
    {
        assert!(world.connect_with(Some(plain(name, password))).await.is_none(), "{name}");
    }
    let mut peer = world.connect_with(Some(plain("leaf1@sas.hub", token("leaf1")))).await.expect("open");
    let mut events = peer.sender("/devices/leaf1/messages/events", MIXED).await.expect("attached");
    assert!(events.send(telemetry("", b"x")).await.expect("sent").is_accepted());
    assert!(peer.sender("/devices/edge1/messages/events", MIXED).await.expect_err("another").contains("NotAllowed"));
    let mut peer = world.connect_with(Some(plain("leaf1@HUB", token("leaf1")))).await.expect("open");
    let refused = peer.receiver("$cbs", MIXED).await.expect_err("no tokens here");
    assert!(refused.contains("Matching template not found"), "{refused}");
}

#[tokio::test]
async fn sasl_is_not_insisted_on() {
    let world = World::new();
    let mut peer = world.connect_with(None).await.expect("open");
    assert_eq!(peer.put(&token("le@f")).await, 200);
    peer.sender(&format!("{}/messages/events", path("le@f")), MIXED).await.expect("attached");
}

#[tokio::test]
async fn the_last_link_of_one_identity_takes_the_connection_along() {
    let world = World::new();
    let mut peer = world.connect_as("leaf1").await;
    assert_eq!(peer.put(&token("edge1/sensor")).await, 200);
    let first = peer.sender("/devices/leaf1/messages/events", MIXED).await.expect("attached");
    let _second = peer.sender("/devices/edge1/modules/sensor/messages/events", MIXED).await.expect("attached");
    let _ = first.close().await;
    let closed = closes(&mut peer).await;
    assert!(!closed.contains("WithError"), "{closed}");
}

#[tokio::test]
async fn a_second_link_of_a_type_takes_the_place_of_the_first() {
    let world = World::new();
    let mut peer = world.connect_as("leaf1").await;
    let mut first = peer.sender("/devices/leaf1/messages/events", MIXED).await.expect("attached");
    let mut second = peer.sender("/devices/leaf1/messages/events", MIXED).await.expect("attached");
    let detached = first.on_detach().await;
    assert!(format!("{detached:?}").contains("ClosedByRemote"), "{detached:?}");
    assert!(second.send(telemetry("", b"x")).await.expect("sent").is_accepted());
}

#[tokio::test]
async fn halves_of_a_pair_with_other_correlations_do_not_live_together() {
    let world = World::new();
    let mut peer = world.connect_as("leaf1").await;
    let named = |id: &str| -> Fields {
        let value = Value::String(format!("twin:{id}"));
        [(Symbol::from("com.microsoft:channel-correlation-id"), value)].into_iter().collect()
    };
    let mut first = peer.sender_with("/devices/leaf1/twin", SETTLED, named("a")).await.expect("attached");
    let _second = peer.receiver("/devices/leaf1/twin", SETTLED).await.expect("attached");
    let detached = first.on_detach().await;
    assert!(format!("{detached:?}").contains("ClosedByRemote"), "{detached:?}");
}

#[tokio::test]
async fn identities_share_a_connection_and_put_their_tokens_anew() {
    let world = World::new();
    let mut peer = world.connect().await;
    let clients = ["leaf1", "edge1/sensor", "edge1/filter", "edge1/other"];
    let mut links = Vec::new();
    for client in clients {
        assert_eq!(peer.put(&token(client)).await, 200);
        links.push(peer.sender(&format!("/{}/messages/events", path(client)), MIXED).await.expect("attached"));
    }
    for client in clients {
        assert_eq!(peer.put(&token(client)).await, 200);
    }
    for link in &mut links {
        assert!(link.send(telemetry("", b"x")).await.expect("sent").is_accepted());
    }
}

#[tokio::test]
async fn too_many_clients_send_but_get_nothing() {
    let world = World::with(&[("MaxConnectedClients", "1")]);
    let mut first = world.connect_as("leaf1").await;
    let _events = first.sender("/devices/leaf1/messages/events", MIXED).await.expect("attached");
    let mut second = world.connect_as("edge1/sensor").await;
    let mut events = second.sender("/devices/edge1/modules/sensor/messages/events", MIXED).await.expect("attached");
    assert!(events.send(telemetry("", b"x")).await.expect("sent").is_accepted());
    let refused = second.receiver("/devices/edge1/modules/sensor/messages/events", MIXED).await.expect_err("refused");
    assert!(refused.contains("InternalError"), "{refused}");
}

#[tokio::test]
async fn the_end_of_the_hub_is_told() {
    let world = World::new();
    let mut peer = world.connect_as("leaf1").await;
    let mut events = peer.sender("/devices/leaf1/messages/events", MIXED).await.expect("attached");
    world.head.stop().await;
    let detached = format!("{:?}", events.on_detach().await);
    assert!(detached.contains("DetachForced"), "{detached}");
    let closed = closes(&mut peer).await;
    assert!(closed.contains("DetachForced"), "{closed}");
}
