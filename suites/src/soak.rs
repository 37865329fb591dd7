//! Soaks: long runs of one kind of trouble, judged at the end. They are commands of their own, not tests.
//!
//! - [`kills`]: the hub is killed again and again while senders and receivers go on. [`ledger`] judges it.
//! - [`packets`]: a server takes broken packets by the million, and its healthy clients must not notice.

pub mod kills;
pub mod ledger;
pub mod packets;
