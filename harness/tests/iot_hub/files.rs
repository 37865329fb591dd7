//! File upload.

use bytes::Bytes;
use harness::client::http::Answer;
use hyper::Method;
use serde_json::{Value, json};

use crate::world::{EDGE, World, token};

const BLOB: [(&str, &str); 1] = [("x-ms-blob-type", "BlockBlob")];

async fn post(world: &World, path: &str, token: &str, body: &Value) -> Answer {
    world.http().request(Method::POST, path, Some(token), &[], Some(body.to_string())).await.unwrap()
}

async fn put(world: &World, path: &str) -> u16 {
    let answer = world.http().request(Method::PUT, path, None, &BLOB, Some("content".to_owned())).await.unwrap();
    answer.status.as_u16()
}

#[tokio::test]
async fn a_device_uploads_a_file() {
    let world = World::new().await;
    let own = token("leaf", None, &world.iot_hub.create_identity("leaf", None).await.unwrap().primary);
    let begun = post(&world, "/devices/leaf/files", &own, &json!({"blobName": "a/b.txt"})).await;
    let begun: Value = serde_json::from_slice(&begun.body).unwrap();
    let field = |name: &str| begun[name].as_str().unwrap().to_owned();
    let path = format!("/{}/{}", field("containerName"), field("blobName"));
    assert_eq!(put(&world, &format!("{path}{}", field("sasToken").replace("sig=", "sig=A"))).await, 403);
    assert_eq!(put(&world, &path).await, 403);
    assert_eq!(put(&world, &format!("{path}{}", field("sasToken"))).await, 201);
    let end = json!({
        "correlationId": field("correlationId"), "isSuccess": true, "statusCode": 201, "statusDescription": "",
    });
    assert_eq!(post(&world, "/devices/leaf/files/notifications", &own, &end).await.status, 204);
    let uploads = world.iot_hub.uploads("leaf").await.unwrap();
    assert_eq!(uploads.len(), 1);
    assert_eq!((uploads[0].blob_name.as_str(), uploads[0].succeeded), ("leaf/a/b.txt", Some(true)));
    assert_eq!(uploads[0].body, Some(Bytes::from("content")));
}

#[tokio::test]
async fn a_module_uploads_nothing() {
    let world = World::new().await;
    let own = token(EDGE, Some("m"), &world.iot_hub.create_identity(EDGE, Some("m")).await.unwrap().primary);
    let name = json!({"blobName": "a"});
    assert_eq!(post(&world, &format!("/devices/{EDGE}/files"), &own, &name).await.status, 401);
    assert_eq!(post(&world, &format!("/devices/{EDGE}/modules/m/files"), &own, &name).await.status, 404);
    assert_eq!(world.iot_hub.uploads(EDGE).await.unwrap(), []);
    let calls = world.iot_hub.calls(1).await.unwrap();
    let tried: Vec<&str> = calls.iter().filter_map(|call| call["call"].as_str()).collect();
    assert_eq!(tried, ["file_upload", "unknown_path"]);
}
