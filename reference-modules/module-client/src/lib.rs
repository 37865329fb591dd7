//! What a module needs to reach its edgeHub, and nothing more.
//!
//! A module is started with a handful of variables and a socket: the [`Environment`]. Over the socket the workload API
//! hands out the certificates to trust and signs with a key that never leaves it. With both, a [`Connection`] stands
//! towards the edgeHub, MQTT 3.1.1 over TLS, for as long as the module wants one; when the hub is not there yet, or not
//! there any more, it waits and comes back. Over it the module sends to its [`Outputs`] and receives from its
//! [`Inputs`], answers its [`Methods`] and keeps its [`Twin`]. A [`Caller`] calls methods of other modules, over HTTPS.
//!
//! ```no_run
//! # async fn example() -> Result<(), module_client::Error> {
//! use module_client::{Connection, Environment};
//!
//! let mut connection = Connection::new(Environment::read(std::env::vars())?);
//! let (mut inputs, outputs) = (connection.inputs(), connection.outputs());
//! connection
//!     .until(async {
//!         while let Some(input) = inputs.next().await {
//!             outputs.send("output1", &input.message).await?;
//!             input.acknowledge().await;
//!         }
//!         Ok(())
//!     })
//!     .await
//! # }
//! ```
//!
//! The order of the last two calls is what keeps messages safe: [`Outputs::send`] returns when the hub has taken the
//! message over, and only then is the input given back. A module that dies in between gets the input again.
//!
//! Left out: MQTT over WebSocket, AMQP.

mod caller;
mod connection;
mod environment;
mod message;
mod methods;
mod outbox;
mod property_bag;
mod reserved_topic;
mod session;
mod token;
mod topic;
mod trust;
mod twin;
mod workload;

pub use caller::{Answered, CallError, Caller, HTTPS_PORT};
pub use connection::{Connection, Inputs, Outputs};
pub use environment::{Environment, Error, setting};
pub use message::{Input, Message};
pub use methods::{Call, Methods};
pub use twin::{News, Properties, Twin, TwinError};
