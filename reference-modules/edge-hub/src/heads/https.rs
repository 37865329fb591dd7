//! HTTPS: direct methods for modules, scope and registry for child edge devices, and the door of WebSockets.
//!
//! - [`listener`]: accepts connections, and reads requests.
//! - `routes`: which paths there are, and for which verbs.
//! - `credentials`: who asks, and whether that is so.
//! - `methods`, `device_scope`, `registry`: the three families of calls, each with a shape of errors of its own.
//! - `nowhere`: every other path.
//! - `websocket`: upgrades, which are taken before routes are looked at.
//! - `answer`: what all answers have in common.

mod answer;
mod credentials;
mod device_scope;
pub mod listener;
mod methods;
mod nowhere;
mod registry;
mod routes;
pub mod websocket;
