//! A connection over AMQP, as SDKs for devices make it, on a library.

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::{
    AmqpValue, ApplicationProperties, Body, Data, Message, MessageAnnotations, MessageId, Properties, Source,
};
use fe2o3_amqp::types::primitives::{Binary, SimpleValue, Symbol, Value};
use fe2o3_amqp::{Connection, Delivery, Receiver, Sender, Session};
use harness::deadline::ACKNOWLEDGEMENT;
use serde_amqp::described::Described;
use serde_amqp::descriptor::Descriptor;

use crate::world::{EDGE, HOST, World, token};

pub struct Line {
    _connection: ConnectionHandle<()>,
    pub session: SessionHandle<()>,
    tokens: (Sender, Receiver),
    /// Links so far: names differ.
    links: u32,
}

impl Line {
    /// A connection on which nobody has a token.
    pub async fn open(world: &World) -> Self {
        let connection = Connection::builder().container_id("device").hostname(HOST);
        let mut connection = connection.open_with_stream(world.amqp().await).await.unwrap();
        let mut session = Session::begin(&mut connection).await.unwrap();
        let requests = Sender::attach(&mut session, "tokens", "$cbs").await.unwrap();
        let answers = Receiver::attach(&mut session, "answers", "$cbs").await.unwrap();
        Self { _connection: connection, session, tokens: (requests, answers), links: 0 }
    }

    /// A connection on which an identity has put its own token.
    pub async fn of(world: &World, device: &str, module: Option<&str>) -> Self {
        let mut line = Self::open(world).await;
        let key = world.iot_hub.keys(device, module).await.unwrap().primary;
        assert_eq!(line.put_token(&audience(device, module), &token(device, module, &key)).await, 200);
        line
    }

    /// Puts a token, and gives the status of the answer.
    pub async fn put_token(&mut self, audience: &str, token: &str) -> i32 {
        let request = Message::builder()
            .properties(Properties::builder().message_id("1".to_owned()).build())
            .application_properties(
                ApplicationProperties::builder()
                    .insert("operation", "put-token")
                    .insert("type", "azure-devices.net:sastoken")
                    .insert("name", audience)
                    .build(),
            )
            .body(AmqpValue(Value::String(token.to_owned())))
            .build();
        self.tokens.0.send(request).await.unwrap();
        let answer = next(&mut self.tokens.1).await;
        self.tokens.1.accept(&answer).await.unwrap();
        let answer = answer.into_message();
        assert_eq!(answer.properties.unwrap().correlation_id, Some(MessageId::String("1".to_owned())));
        assert!(answer.body.is_empty());
        match answer.application_properties.unwrap().0.get("status-code") {
            Some(SimpleValue::Int(status)) => *status,
            other => panic!("status-code is {other:?}"),
        }
    }

    /// A link on which to send.
    pub async fn sender(
        &mut self,
        address: &str,
        mode: SenderSettleMode,
        chain: Option<&str>,
    ) -> Result<Sender, String> {
        self.links += 1;
        let builder = Sender::builder().name(format!("s{}", self.links)).target(address).sender_settle_mode(mode);
        let attached = builder.properties(properties(chain)).attach(&mut self.session).await;
        attached.map_err(|error| format!("{error:?}"))
    }

    /// A link on which to read what a selector wants.
    pub async fn reader(&mut self, address: &str, selector: Option<&str>) -> Result<Receiver, String> {
        self.links += 1;
        let mut source = Source::builder().address(address);
        if let Some(selector) = selector {
            let descriptor = Descriptor::Name(Symbol::from("apache.org:selector-filter:string"));
            let value = Value::String(selector.to_owned());
            source = source.add_to_filter("apache.org:selector-filter:string", Described { descriptor, value });
        }
        let builder = Receiver::builder().name(format!("r{}", self.links)).source(source.build());
        builder.attach(&mut self.session).await.map_err(|error| format!("{error:?}"))
    }

    /// A link on which to receive.
    pub async fn receiver(&mut self, address: &str, mode: SenderSettleMode, second: bool) -> Receiver {
        self.links += 1;
        let settles = if second { ReceiverSettleMode::Second } else { ReceiverSettleMode::First };
        let builder = Receiver::builder().name(format!("r{}", self.links)).source(address);
        let builder = builder.sender_settle_mode(mode).receiver_settle_mode(settles);
        builder.attach(&mut self.session).await.unwrap()
    }
}

fn properties(chain: Option<&str>) -> Fields {
    let mut properties = Fields::new();
    if let Some(chain) = chain {
        properties.insert(Symbol::from("com.microsoft:auth-chain"), Value::String(chain.to_owned()));
    }
    properties
}

/// The next message on a link.
pub async fn next(receiver: &mut Receiver) -> Delivery<Body<Value>> {
    tokio::time::timeout(ACKNOWLEDGEMENT.limit, receiver.recv()).await.expect("a message comes").unwrap()
}

pub fn audience(device: &str, module: Option<&str>) -> String {
    format!("{HOST}/devices/{device}{}", module.map(|module| format!("/modules/{module}")).unwrap_or_default())
}

/// Address of a node of the edge device's module `m`.
pub fn node(node: &str) -> String {
    format!("amqps://{HOST}:5671/devices/{EDGE}/modules/m/{node}")
}

/// A request about a twin.
pub fn twin_request(operation: &str, rid: &str, body: &str) -> Message<Data> {
    let mut annotations = MessageAnnotations::default();
    annotations.0.insert("operation".into(), Value::String(operation.to_owned()));
    Message {
        message_annotations: Some(annotations),
        properties: Some(Properties::builder().correlation_id(rid.to_owned()).build()),
        ..data(body)
    }
}

/// A message with nothing but a body.
pub fn data(body: &str) -> Message<Data> {
    Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties::default()),
        application_properties: None,
        body: Data(Binary::from(body.as_bytes().to_vec())),
        footer: None,
    }
}

/// The body of a message, which is data.
pub fn text(message: Message<Body<Value>>) -> String {
    let parts = message.body.try_into_data().unwrap();
    String::from_utf8(parts.flat_map(Binary::into_vec).collect()).unwrap()
}

/// Status and correlation id of an answer about a twin.
pub fn answer(message: &Message<Body<Value>>) -> (Option<i32>, Option<String>) {
    let status = message.message_annotations.as_ref().and_then(|annotations| {
        let status = annotations.0.get(&OwnedKey::from("status"))?;
        if let Value::Int(status) = status { Some(*status) } else { None }
    });
    let id = message.properties.as_ref().and_then(|properties| match properties.correlation_id.clone()? {
        MessageId::String(id) => Some(id),
        other => panic!("correlation-id is {other:?}"),
    });
    (status, id)
}
