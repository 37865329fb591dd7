//! The way to IoT Hub for one identity, by whatever protocol.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::{Context, amqp, mqtt};
use crate::core::{CloudMessage, Envelope, Feedback, Listening, Timestamp};
use crate::identity::ClientId;

/// Messages that IoT Hub takes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Names them on this line.
    pub number: u64,
    /// How many they are.
    pub messages: usize,
}

/// Something about a twin.
pub enum TwinOperation {
    /// Read it.
    Get,
    /// Update reported properties, with a JSON object.
    Patch(Bytes),
}

/// What IoT Hub says.
#[derive(Debug)]
pub enum Heard {
    /// It has the messages of the ticket of this number.
    Taken(u64),
    /// It does not take them.
    Refused(u64),
    /// An answer about the twin.
    TwinAnswer {
        /// Id of the request.
        rid: String,
        /// As HTTP has it.
        status: u16,
        /// The twin, or nothing.
        document: Bytes,
    },
    /// Desired properties changed.
    Desired {
        /// A JSON object.
        patch: Bytes,
        /// Version of the document behind it.
        version: Option<i64>,
    },
    /// A method is called.
    Method {
        /// Id of the call.
        rid: String,
        /// What is called.
        name: String,
        /// With what.
        payload: Bytes,
    },
    /// A message for a device.
    CloudMessage {
        /// Names it on this line, unless nobody wants to hear of it.
        number: Option<u32>,
        /// The message.
        message: CloudMessage,
    },
}

/// Something that came, and that is still to be dealt with on the line itself.
pub enum Came {
    /// Over MQTT.
    Mqtt(mqtt::Came),
    /// Over AMQP.
    Amqp(Heard),
}

/// The line of one identity. Dropped, it is closed.
pub enum Line {
    /// A connection.
    Mqtt(Box<mqtt::Line>),
    /// A session of the one connection.
    Amqp(Box<amqp::Line>),
}

impl Line {
    /// Opens the line of an identity. On a `clean` one IoT Hub forgets what earlier ones subscribed.
    ///
    /// # Errors
    /// When IoT Hub cannot be reached, or refuses.
    pub async fn open(context: &Arc<Context>, client: &ClientId, clean: bool, now: Timestamp) -> io::Result<Line> {
        if context.settings.upstream_protocol.is_amqp() {
            amqp::Line::open(context, client).await.map(|line| Line::Amqp(Box::new(line)))
        } else {
            mqtt::Line::open(context, client, clean, now).await.map(|line| Line::Mqtt(Box::new(line)))
        }
    }

    /// Waits for something to come. Can be abandoned at any time without a loss.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn wait(&mut self) -> io::Result<Came> {
        match self {
            Line::Mqtt(line) => line.wait().await.map(Came::Mqtt),
            Line::Amqp(line) => line.wait().await.map(Came::Amqp),
        }
    }

    /// Takes in what came.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn take_in(&mut self, came: Came) -> io::Result<Option<Heard>> {
        match (self, came) {
            (Line::Mqtt(line), Came::Mqtt(came)) => line.take_in(came).await,
            (_, Came::Amqp(heard)) => Ok(Some(heard)),
            (Line::Amqp(_), Came::Mqtt(_)) => Ok(None),
        }
    }

    /// Sends events, in order.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn send(&mut self, messages: &[Arc<Envelope>]) -> io::Result<VecDeque<Ticket>> {
        match self {
            Line::Mqtt(line) => line.send(messages).await,
            Line::Amqp(line) => line.send(messages),
        }
    }

    /// Asks something about the twin; gives the id of the request.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn ask(&mut self, operation: TwinOperation) -> io::Result<String> {
        match self {
            Line::Mqtt(line) => line.ask(operation).await,
            Line::Amqp(line) => line.ask(operation).await,
        }
    }

    /// Listens for this from now on, and for nothing else.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn listen(&mut self, listening: Listening) -> io::Result<()> {
        match self {
            Line::Mqtt(line) => line.listen(listening).await,
            Line::Amqp(line) => line.listen(listening).await,
        }
    }

    /// Answers a call.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn answer(&mut self, rid: &str, status: i32, payload: &[u8]) -> io::Result<()> {
        match self {
            Line::Mqtt(line) => line.answer(rid, status, payload).await,
            Line::Amqp(line) => line.answer(rid, status, payload).await,
        }
    }

    /// Says what became of the message of this number, as far as the protocol can.
    ///
    /// # Errors
    /// When the line ends.
    pub async fn settle(&mut self, number: u32, feedback: Feedback) -> io::Result<()> {
        match self {
            Line::Mqtt(line) => line.settle(number, feedback).await,
            Line::Amqp(line) => {
                line.settle(number, feedback);
                Ok(())
            }
        }
    }
}

/// Whether a line was not opened because of who wants it.
pub fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
