//! Errors as they stand in DETACH, END, CLOSE and `rejected`.

use fe2o3_amqp_types::definitions::{Error, ErrorCondition};
use serde_amqp::primitives::Symbol;

/// An error of this condition, in words.
pub fn error(condition: &str, description: impl Into<String>) -> Error {
    let condition = ErrorCondition::Custom(Symbol::from(condition));
    Error { condition, description: Some(description.into()), info: None }
}

/// An error whose condition says it all, in the product's words.
pub fn bare(condition: &str) -> Error {
    error(condition, format!("An AMQP error occurred (condition='{condition}')."))
}

/// What the product says of anything it did not foresee.
pub fn internal() -> Error {
    bare("amqp:internal-error")
}
