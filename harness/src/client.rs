//! The clients tests act through: modules and leaf devices at the hub, and the service side of the cloud.

pub mod amqp;
pub mod client_hello;
pub mod error;
pub mod file_upload;
pub mod http;
pub mod https;
pub mod hub_client;
pub mod iot_hub;
pub mod mqtt;
pub mod property_bag;
pub mod raw;
pub mod raw_amqp;
pub mod raw_mqtt;
pub mod sas;
pub mod stream;
pub mod websocket;
