//! What the simulated IoT Hub promises, seen through the harness's own clients of it.

mod amqp;
mod amqp_device;
mod conditions;
mod files;
mod identities;
mod messages;
mod methods;
mod takeover;
mod world;
