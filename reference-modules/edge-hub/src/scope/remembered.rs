//! The scope as an earlier process knew it: clients may come in while IoT Hub cannot be reached.
//!
//! It holds keys, so it is kept as the workload API encrypts it.

use std::io;

use super::ServiceIdentity;
use crate::engine::Engine;
use crate::workload::Workload;

const DOCUMENT: &str = "scope/identities";
const VECTOR: &str = "scope/vector";

/// What was remembered, if anything.
///
/// # Errors
/// When it cannot be decrypted.
pub(super) async fn recall(engine: &Engine, workload: &Workload) -> io::Result<Option<Vec<ServiceIdentity>>> {
    let (Some(sealed), Some(vector)) =
        (engine.document(DOCUMENT.to_owned()).await, engine.document(VECTOR.to_owned()).await)
    else {
        return Ok(None);
    };
    let plain = workload.decrypt(&vector, &sealed).await?;
    serde_json::from_slice(&plain).map(Some).map_err(io::Error::other)
}

/// Remembers.
///
/// # Errors
/// When it cannot be encrypted; then what was remembered before stays.
pub(super) async fn remember(engine: &Engine, workload: &Workload, identities: &[ServiceIdentity]) -> io::Result<()> {
    let plain = serde_json::to_vec(identities).map_err(io::Error::other)?;
    let vector = match engine.document(VECTOR.to_owned()).await {
        Some(vector) => vector,
        None => {
            let vector = uuid::Uuid::new_v4().simple().to_string().into_bytes();
            engine.remember(VECTOR.to_owned(), Some(vector.clone())).await;
            vector
        }
    };
    let sealed = workload.encrypt(&vector, &plain).await?;
    engine.remember(DOCUMENT.to_owned(), Some(sealed)).await;
    Ok(())
}
