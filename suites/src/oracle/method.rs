//! Direct methods over HTTPS, as pure functions: who may call, what is read of a body, and what a caller gets.
//!
//! - [`body`]: the call in a body, or that the body is refused. `compact`: its payload as the target gets it.
//! - [`caller`]: who calls, by the header that names it and by its token.
//! - [`answer`]: status and body of the HTTP answer for each end a call can have.
//!
//! Written from the description of the product, of which what was observed on a running hub outranks the rest, and from
//! results recorded from its code (`fixtures/vectors/method-request.jsonl`; Azure/iotedge 55353a64), not from any hub
//! of ours.

pub mod answer;
pub mod body;
pub mod caller;
mod compact;

pub use answer::Answer;
pub use body::{Call, Reading};
