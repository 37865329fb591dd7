//! A module that passes on what exceeds a threshold: from `input1` to `output1`, marked as an alert.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `FILTER_THRESHOLD` | temperature that has to be exceeded | 25 |

mod alert;

use module_client::{Connection, Environment, Error, Inputs, Outputs, setting};

pub use alert::alert;

/// The input readings come to.
pub const INPUT: &str = "input1";

/// The output alerts leave by.
pub const OUTPUT: &str = "output1";

/// Passes on what exceeds the threshold, until `stop`.
///
/// # Errors
/// When `environment` is not that of a module, or the threshold is no number.
pub async fn run(
    environment: impl IntoIterator<Item = (String, String)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let threshold = setting(&environment, "FILTER_THRESHOLD", 25.0, "a number")?;
    let mut connection = Connection::new(Environment::read(environment)?);
    let (inputs, outputs) = (connection.inputs(), connection.outputs());
    connection
        .until(async {
            tokio::select! {
                outcome = filter(inputs, outputs, threshold) => outcome,
                () = stop => Ok(()),
            }
        })
        .await
}

async fn filter(mut inputs: Inputs, outputs: Outputs, threshold: f64) -> Result<(), Error> {
    while let Some(input) = inputs.next().await {
        if input.name != INPUT {
            tracing::warn!(input = input.name, "passed over: readings come to {INPUT}");
        } else if let Some(alert) = alert(&input.message, threshold) {
            outputs.send(OUTPUT, &alert).await?;
        }
        // What is filtered out is dealt with as well; what is passed on, not before the hub has it.
        input.acknowledge().await;
    }
    Ok(())
}
