//! A module that makes readings, and sends them to `temperatureOutput`.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `SENSOR_COUNT` | how many readings to send | 100 |
//! | `SENSOR_INTERVAL_MS` | milliseconds from one to the next | 1000 |

mod reading;

use std::time::Duration;

use module_client::{Connection, Environment, Error, Outputs, setting};
use tokio::time::MissedTickBehavior;

pub use reading::reading;

/// The output readings leave by.
pub const OUTPUT: &str = "temperatureOutput";

/// Sends readings until there were enough of them, or until `stop`.
///
/// # Errors
/// When `environment` is not that of a module, or a setting is no number.
pub async fn run(
    environment: impl IntoIterator<Item = (String, String)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let count = setting(&environment, "SENSOR_COUNT", 100, "a whole number")?;
    let interval = setting(&environment, "SENSOR_INTERVAL_MS", 1_000, "a number of milliseconds")?;
    let connection = Connection::new(Environment::read(environment)?);
    let outputs = connection.outputs();
    connection
        .until(async {
            tokio::select! {
                outcome = sense(outputs, count, Duration::from_millis(interval)) => outcome,
                () = stop => Ok(()),
            }
        })
        .await
}

async fn sense(outputs: Outputs, count: u64, interval: Duration) -> Result<(), Error> {
    // No interval at all means: one as soon as the other is acknowledged.
    let mut ticks = tokio::time::interval(interval.max(Duration::from_nanos(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sequence in 1..=count {
        ticks.tick().await;
        outputs.send(OUTPUT, &reading(sequence)).await?;
    }
    tracing::info!(count, "all readings are sent");
    Ok(())
}
