//! A module that calls a method of another module again and again, and sends how that went to `outcome`.
//!
//! | setting | meaning | default |
//! | --- | --- | --- |
//! | `METHOD_TARGET` | the module to call | `method-receiver` |
//! | `METHOD_NAME` | the method | `echo` |
//! | `METHOD_COUNT` | how many calls to make | 100 |
//! | `METHOD_INTERVAL_MS` | milliseconds from one to the next | 1000 |
//! | `METHOD_TIMEOUT_SECS` | how long to wait for an answer, 5 to 300 | 30 |
//! | `EDGEHUB_HTTPS_PORT` | port of the hub's HTTPS head | 443 |

use std::time::Duration;

use module_client::{
    Answered, CallError, Caller, Connection, Environment, Error, HTTPS_PORT, Message, Outputs, setting,
};
use serde_json::{Value, json};
use tokio::time::MissedTickBehavior;

/// The output outcomes leave by.
pub const OUTPUT: &str = "outcome";

/// What to call, and how often.
struct Plan {
    target: String,
    method: String,
    count: u64,
    interval: Duration,
    patience: Duration,
}

/// Calls until it has called often enough, or until `stop`.
///
/// # Errors
/// When `environment` is not that of a module, or a setting is no number.
pub async fn run(
    environment: impl IntoIterator<Item = (String, String)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let environment: Vec<(String, String)> = environment.into_iter().collect();
    let interval = setting(&environment, "METHOD_INTERVAL_MS", 1_000, "a number of milliseconds")?;
    let patience = setting(&environment, "METHOD_TIMEOUT_SECS", 30, "a number of seconds")?;
    let plan = Plan {
        target: setting(&environment, "METHOD_TARGET", "method-receiver".to_owned(), "a module")?,
        method: setting(&environment, "METHOD_NAME", "echo".to_owned(), "a method")?,
        count: setting(&environment, "METHOD_COUNT", 100, "a whole number")?,
        interval: Duration::from_millis(interval),
        patience: Duration::from_secs(patience),
    };
    let port = setting(&environment, "EDGEHUB_HTTPS_PORT", HTTPS_PORT, "a port")?;
    let connection = Connection::new(Environment::read(environment)?);
    let (caller, outputs) = (connection.caller(port), connection.outputs());
    connection
        .until(async {
            tokio::select! {
                outcome = call_all(caller, outputs, plan) => outcome,
                () = stop => Ok(()),
            }
        })
        .await
}

async fn call_all(caller: Caller, outputs: Outputs, plan: Plan) -> Result<(), Error> {
    // No interval at all means: one as soon as the other is told.
    let mut ticks = tokio::time::interval(plan.interval.max(Duration::from_nanos(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for sequence in 1..=plan.count {
        ticks.tick().await;
        let argument = json!({ "sequence": sequence });
        let answered = caller.call(&plan.target, &plan.method, &argument, plan.patience).await;
        outputs.send(OUTPUT, &Message::json(&told(sequence, &answered))).await?;
    }
    tracing::info!(plan.count, "all calls are made");
    Ok(())
}

/// How a call went.
pub fn told(sequence: u64, answered: &Result<Answered, CallError>) -> Value {
    match answered {
        Ok(answered) => json!({ "sequence": sequence, "status": answered.status, "payload": answered.payload }),
        Err(error) => json!({ "sequence": sequence, "error": error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_an_answer_or_an_error() {
        let answered = Ok(Answered { status: 200, payload: json!([1]) });
        assert_eq!(told(7, &answered), json!({"sequence": 7, "status": 200, "payload": [1]}));
        let refused = Err(CallError::Refused { status: 404, text: "{}".to_owned() });
        assert_eq!(told(8, &refused), json!({"sequence": 8, "error": "the hub answered 404: {}"}));
    }
}
