//! Identities that change while they are connected.

use harness::client::iot_hub::Keys;
use harness::deadline::CLOSED;

use crate::world::{EDGE, World};

const NOT_AUTHORIZED: Option<u8> = Some(5);

#[tokio::test]
async fn a_disabled_device_is_disconnected_with_its_modules_and_stays_out_until_it_is_enabled() {
    let world = World::new().await;
    let keys = world.iot_hub.create_identity("leaf", None).await.unwrap();
    let of_module = world.iot_hub.create_identity("leaf", Some("m")).await.unwrap();
    let mut lines = [world.line("leaf", None, &[]).await, world.line("leaf", Some("m"), &[]).await];
    world.iot_hub.enable_device("leaf", true).await.unwrap();
    for line in &mut lines {
        line.is_silent().await;
    }
    world.iot_hub.enable_device("leaf", false).await.unwrap();
    for line in &mut lines {
        line.raw.closed(CLOSED).await.unwrap();
    }
    assert_eq!(world.dial("leaf", None, &keys.primary).await.1, NOT_AUTHORIZED);
    assert_eq!(world.dial("leaf", Some("m"), &of_module.primary).await.1, NOT_AUTHORIZED);
    world.iot_hub.enable_device("leaf", true).await.unwrap();
    assert_eq!(world.dial("leaf", None, &keys.primary).await.1, Some(0));
}

#[tokio::test]
async fn other_keys_end_the_connection_and_the_old_ones_are_good_no_more() {
    let world = World::new().await;
    let old = world.iot_hub.create_identity(EDGE, Some("m")).await.unwrap();
    let mut line = world.line(EDGE, Some("m"), &[]).await;
    let new = Keys { primary: old.secondary.clone(), secondary: world.iot_hub.keys(EDGE, None).await.unwrap().primary };
    world.iot_hub.change_keys(EDGE, Some("m"), &new).await.unwrap();
    line.raw.closed(CLOSED).await.unwrap();
    assert_eq!(world.dial(EDGE, Some("m"), &old.primary).await.1, NOT_AUTHORIZED);
    for key in [new.primary, new.secondary] {
        assert_eq!(world.dial(EDGE, Some("m"), &key).await.1, Some(0));
    }
}

#[tokio::test]
async fn a_deleted_device_takes_its_modules_with_it() {
    let world = World::new().await;
    let keys = world.iot_hub.create_identity("leaf", None).await.unwrap();
    world.iot_hub.create_identity("leaf", Some("m")).await.unwrap();
    let exists = world.iot_hub.create_identity("leaf", None).await.unwrap_err();
    assert_eq!((exists.status(), exists.code().as_deref()), (Some(409), Some("DeviceAlreadyExists")));
    let (mut device, mut module) = (world.line("leaf", None, &[]).await, world.line("leaf", Some("m"), &[]).await);
    world.iot_hub.delete_identity("leaf", None).await.unwrap();
    device.raw.closed(CLOSED).await.unwrap();
    module.raw.closed(CLOSED).await.unwrap();
    assert_eq!(world.dial("leaf", None, &keys.primary).await.1, NOT_AUTHORIZED);
    let gone = world.iot_hub.twin("leaf", Some("m")).await.unwrap_err();
    assert_eq!(gone.code().as_deref(), Some("ModuleNotFound"));
}
