//! A module that applies its desired properties, and reports them back under `mirror`, with the version it applied
//! under `appliedVersion`.

mod mirror;

use module_client::{Connection, Environment, Error, Twin, TwinError};

pub use mirror::{after_change, after_reading};

/// Mirrors the twin, until `stop`.
///
/// # Errors
/// When `environment` is not that of a module.
pub async fn run(
    environment: impl IntoIterator<Item = (String, String)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let mut connection = Connection::new(Environment::read(environment)?);
    let twin = connection.twin();
    connection
        .until(async {
            tokio::select! {
                () = mirror_all(twin) => Ok(()),
                () = stop => Ok(()),
            }
        })
        .await
}

async fn mirror_all(mut twin: Twin) {
    loop {
        match step(&mut twin).await {
            Ok(true) => {}
            Ok(false) => return,
            // The next news may well be taken: what was missed by then shows when the twin is read again.
            Err(error) => tracing::warn!(%error, "not mirrored"),
        }
    }
}

/// Waits for news and mirrors it; false when no more will come.
async fn step(twin: &mut Twin) -> Result<bool, TwinError> {
    let Some(news) = twin.next().await? else { return Ok(false) };
    let patch = match &news {
        module_client::News::Whole(properties) => after_reading(properties),
        module_client::News::Change(change) => after_change(change),
    };
    twin.report(&patch).await?;
    tracing::info!(%patch, "mirrored");
    Ok(true)
}
