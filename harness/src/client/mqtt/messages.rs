//! Messages over MQTT: the topics they go out on, and what comes to the inputs of a module.

use tokio::sync::mpsc;

use super::{MqttClient, Pending, QoS, Received, Unanswered};
use crate::client::amqp::message::Message;
use crate::client::hub_client::Input;
use crate::client::property_bag;

/// The topic of a client, `device` or `device/module`, up to what it is for.
pub fn base(client_id: &str) -> String {
    match client_id.split_once('/') {
        Some((device, module)) => format!("devices/{device}/modules/{module}"),
        None => format!("devices/{client_id}"),
    }
}

/// The topic that a message of a client goes to; an output's name is among its system properties.
pub fn topic(client_id: &str, message: &Message) -> String {
    let bag = property_bag::write_message(&message.properties, &message.system);
    format!("{}/messages/events/{bag}", base(client_id))
}

impl MqttClient {
    /// Publishes a message. Its fate is in the value returned.
    pub async fn send(&self, message: &Message) -> Pending {
        self.publish(&topic(&self.client_id, message), message.body.clone(), QoS::AtLeastOnce).await
    }

    /// As [`MqttClient::send`], with the output's name unescaped behind everything else.
    pub async fn send_plainly(&self, output: Option<&str>, message: &Message) -> Pending {
        let mut topic = topic(&self.client_id, message);
        if let Some(output) = output {
            topic.push_str(&format!("&$.on={output}"));
        }
        self.publish(&topic, message.body.clone(), QoS::AtLeastOnce).await
    }

    /// Subscribes to all inputs of a module, and reads this client's stream, which nobody else reads then.
    ///
    /// # Errors
    /// [`Unanswered`] when the connection ends or the deadline passes before SUBACK.
    pub async fn inputs(&mut self) -> Result<mpsc::UnboundedReceiver<Input>, Unanswered> {
        let mut received = self.take_received();
        self.subscribe(&format!("{}/inputs/#", base(&self.client_id))).await?;
        let (to, inputs) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(received) = received.recv().await {
                if to.send(Input::from(received)).is_err() {
                    return;
                }
            }
        });
        Ok(inputs)
    }
}

impl From<Received> for Input {
    fn from(received: Received) -> Self {
        // devices/{d}/modules/{m}/inputs/{input}/{bag}; anything else is kept with its topic and judged as such.
        let mut parts = received.topic.splitn(7, '/').skip(3);
        let module = parts.next().unwrap_or_default().to_owned();
        let input = parts.nth(1).unwrap_or_default().to_owned();
        let (properties, system) = property_bag::read(parts.next().unwrap_or_default());
        let message = Message { properties, system, body: received.payload };
        Self { at: received.at, module, input, message, topic: received.topic }
    }
}
