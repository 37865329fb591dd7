//! A module with methods.
//!
//! | method | what it does |
//! | --- | --- |
//! | `echo` | answers 200 with its argument |
//! | `slow` | answers 200 with its argument, after as many seconds as its member `seconds` says, or 5 |
//! | `fail` | answers 500 |
//! | any other | answers 501, as the device SDKs do |

use std::time::Duration;

use module_client::{Call, Connection, Environment, Error, Methods};
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Answers calls, until `stop`.
///
/// # Errors
/// When `environment` is not that of a module.
pub async fn run(
    environment: impl IntoIterator<Item = (String, String)>,
    stop: impl Future<Output = ()> + Send,
) -> Result<(), Error> {
    let mut connection = Connection::new(Environment::read(environment)?);
    let methods = connection.methods();
    connection
        .until(async {
            tokio::select! {
                () = answer_all(methods) => Ok(()),
                () = stop => Ok(()),
            }
        })
        .await
}

async fn answer_all(mut methods: Methods) {
    // A slow method holds up no other call.
    let mut under_way = JoinSet::new();
    while let Some(call) = methods.next().await {
        tracing::info!(method = call.name, "called");
        under_way.spawn(answer(call));
        while under_way.try_join_next().is_some() {}
    }
}

async fn answer(call: Call) {
    tokio::time::sleep(pause(&call.name, &call.argument)).await;
    let (status, payload) = outcome(&call.name, &call.argument);
    if let Err(error) = call.answer(status, &payload).await {
        tracing::warn!(%error, "not answered");
    }
}

/// How long a method takes.
pub fn pause(method: &str, argument: &Value) -> Duration {
    match method {
        "slow" => Duration::from_secs_f64(argument["seconds"].as_f64().unwrap_or(5.0).clamp(0.0, 300.0)),
        _ => Duration::ZERO,
    }
}

/// Status and payload of a method's answer.
pub fn outcome(method: &str, argument: &Value) -> (i32, Value) {
    match method {
        "echo" | "slow" => (200, argument.clone()),
        "fail" => (500, json!({ "message": "this method fails" })),
        other => (501, json!({ "message": format!("there is no method {other}") })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_answers_as_it_says() {
        let argument = json!({"seconds": 0.5, "a": [1]});
        assert_eq!(outcome("echo", &argument), (200, argument.clone()));
        assert_eq!(outcome("slow", &argument), (200, argument.clone()));
        assert_eq!(outcome("fail", &argument).0, 500);
        assert_eq!(outcome("Echo", &argument).0, 501);
        assert_eq!(pause("slow", &argument), Duration::from_millis(500));
        assert_eq!(pause("slow", &Value::Null), Duration::from_secs(5));
        assert_eq!(pause("echo", &argument), Duration::ZERO);
    }
}
