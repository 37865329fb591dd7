//! Answers recorded vectors, so that this hub's code can be held against what the product did.
//!
//! - `routing`: conditions, routes, sources, configurations.
//! - `mqtt`: user names, topics, filters, property bags.
//! - `methods`: bodies of method calls.
//! - `token`: shared access signatures.
//! - `twin`: documents and updates of reported properties.

use serde_json::Value;

mod methods;
mod mqtt;
mod routing;
mod token;
mod twin;

/// What this hub's code answers to one vector row, as an object whose members are to be found in the row; `None` for
/// operations that are not answered here.
///
/// Texts of errors are this hub's own: compare only that there is one.
pub fn answer(row: &Value) -> Option<Value> {
    mqtt::answer(row)
        .or_else(|| token::answer(row))
        .or_else(|| methods::answer(row))
        .or_else(|| twin::answer(row))
        .or_else(|| routing::answer(row))
}
