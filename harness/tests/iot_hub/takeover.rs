//! A connection of an identity in the place of an older one.

use std::time::Duration;

use harness::client::iot_hub::Concerns;
use harness::client::raw_mqtt::packet;
use harness::deadline::{ACKNOWLEDGEMENT, CLOSED};
use serde_json::json;

use crate::world::{EDGE, World};

const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
/// Long enough for another connection to come in meanwhile.
const LATE: Duration = Duration::from_secs(1);

#[tokio::test]
async fn what_comes_late_on_the_older_connection_says_nothing_about_the_newer_one() {
    let world = World::new().await;
    world.iot_hub.create_identity(EDGE, Some("m")).await.unwrap();
    let mut older = world.line(EDGE, Some("m"), &[DESIRED]).await;
    let slow = world.iot_hub.impose("delay", Concerns::Everyone, LATE).await.unwrap();
    // Once the first packet is answered, the second is on its slow way.
    let ping = packet::frame(0xc0, &[]);
    older.raw.write(&[ping, packet::unsubscribe(2, &[DESIRED])].concat()).await;
    assert!(older.raw.read(ACKNOWLEDGEMENT).await.unwrap().unwrap().is_pingresp());
    world.iot_hub.lift(slow).await.unwrap();
    let mut newer = world.line(EDGE, Some("m"), &[DESIRED]).await;
    older.raw.closed(CLOSED).await.unwrap();
    world.iot_hub.patch_desired(EDGE, Some("m"), json!({ "a": 1 })).await.unwrap();
    assert!(newer.next().await.topic.starts_with("$iothub/twin/PATCH/properties/desired/?$version="));
}
