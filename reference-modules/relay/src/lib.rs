//! A module that passes on what it receives: any input, to `output1`, body and properties unchanged.

use module_client::{Connection, Environment, Error, Inputs, Outputs};

/// The output everything leaves by.
pub const OUTPUT: &str = "output1";

/// Passes on what it receives, until `stop`.
///
/// # Errors
/// When `environment` is not that of a module.
pub async fn run(
    environment: impl IntoIterator<Item = (String, String)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let mut connection = Connection::new(Environment::read(environment)?);
    let (inputs, outputs) = (connection.inputs(), connection.outputs());
    connection
        .until(async {
            tokio::select! {
                outcome = relay(inputs, outputs) => outcome,
                () = stop => Ok(()),
            }
        })
        .await
}

async fn relay(mut inputs: Inputs, outputs: Outputs) -> Result<(), Error> {
    while let Some(input) = inputs.next().await {
        outputs.send(OUTPUT, &input.message).await?;
        // Not before the hub has the copy: until then it keeps the original.
        input.acknowledge().await;
    }
    Ok(())
}
