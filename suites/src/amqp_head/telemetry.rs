//! Messages of clients: what is accepted, what is refused, and what arrives of them at a module. Covers AMQP-TEL.

use harness::client::amqp::message::INPUT;
use harness::client::raw_amqp::message::{
    AMQP_SEQUENCE, AMQP_VALUE, APPLICATION_PROPERTIES, BATCH, DATA, HEADER, Message, PROPERTIES, Property, batch,
};
use harness::client::raw_amqp::peer::{Link, Outcome, Peer};
use harness::client::raw_amqp::value::{Value, string, symbol};
use harness::observe::history::MARK;
use harness::runner::Test;
use harness::stage::Stage;

use super::talk::{CHANNEL, Talk, Told, listening, marked, shown, speaking, taken, told};
use crate::course::routes;
use crate::mqtt_head::guest::{GUEST, HOST, module};

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    vec![
        told(
            "amqp_head::telemetry::a_message_is_accepted_with_and_without_a_route",
            &["AMQP-TEL-01", "AMQP-TEL-13", "AMQP-TEL-17"],
            |stage, talk| Box::pin(accepted(stage, talk)),
        ),
        told(
            "amqp_head::telemetry::a_message_that_is_too_large_is_rejected_and_the_link_stands",
            &["AMQP-TEL-02", "AMQP-TEL-03", "AMQP-TEL-15"],
            |stage, talk| Box::pin(large(stage, talk)),
        ),
        told(
            "amqp_head::telemetry::what_a_message_says_of_itself_arrives",
            &["AMQP-TEL-04", "AMQP-TEL-05", "AMQP-TEL-06", "AMQP-TEL-07"],
            |stage, talk| Box::pin(survives(stage, talk)),
        ),
        told(
            "amqp_head::telemetry::bodies_of_every_kind_arrive_as_bytes",
            &["AMQP-TEL-08", "AMQP-TEL-09", "AMQP-TEL-19"],
            |stage, talk| Box::pin(bodies(stage, talk)),
        ),
        told(
            "amqp_head::telemetry::the_sender_is_the_link_whatever_the_message_says",
            &["AMQP-TEL-12"],
            |stage, talk| Box::pin(spoofed(stage, talk)),
        ),
        told(
            "amqp_head::telemetry::a_batch_is_its_messages_in_their_order",
            &["AMQP-TEL-10", "AMQP-TEL-11"],
            |stage, talk| Box::pin(batches(stage, talk)),
        ),
        told(
            "amqp_head::telemetry::sections_that_are_missing_are_told_and_harm_nothing_else",
            &["AMQP-TEL-16", "AMQP-TEL-18"],
            |stage, talk| Box::pin(missing(stage, talk)),
        ),
    ]
}

/// Module guest sends, on output `loop` to an input of module host, which listens.
struct Loop {
    sender: Peer,
    events: Link,
    receiver: Peer,
    inputs: Link,
}

impl Loop {
    async fn on(stage: &mut Stage) -> Told<Self> {
        let route = "FROM /messages/modules/guest/outputs/loop INTO BrokeredEndpoint(\"/modules/host/inputs/in\")";
        stage.configure(routes([("loop", route)])).await?;
        let (receiver, inputs) = listening(stage.environment(), &module(HOST), 100).await?;
        let (sender, events) = speaking(stage.environment(), &module(GUEST)).await?;
        let mut ways = Self { sender, events, receiver, inputs };
        // Messages of earlier cases may still wait for module host. A body says least that a hub could lose.
        let mark = stage.mark();
        ways.sender.deliver(ways.events, &marked("loop", &mark, mark.as_bytes())).await?;
        while ways.next().await?.body() != mark.as_bytes() {}
        Ok(ways)
    }

    /// Sends a message, which must be accepted, and gives what arrives.
    async fn round(&mut self, talk: &Talk, message: &Message) -> Told<Message> {
        let outcome = self.sender.deliver(self.events, message).await?;
        talk.holds(outcome.accepted(), outcome)?;
        self.next().await
    }

    /// The next message that arrives.
    async fn next(&mut self) -> Told<Message> {
        taken(&mut self.receiver, self.inputs).await
    }

    /// The next message that arrives is the one of this mark.
    async fn arrives(&mut self, talk: &Talk, mark: &str) -> Told<Message> {
        let message = self.next().await?;
        let got = message.application_value(MARK).and_then(Value::text).map(str::to_owned);
        talk.holds(got.as_deref() == Some(mark), format!("message {got:?} arrives"))?;
        Ok(message)
    }
}

async fn accepted(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut ways = Loop::on(stage).await?;
    talk.step("module guest sends a message that a route takes");
    talk.claim("AMQP-TEL-01", "it is accepted, and arrives");
    ways.round(talk, &marked("loop", "routed", b"1")).await?;
    talk.step("it sends one that no route takes");
    talk.claim("AMQP-TEL-01", "it is accepted");
    let outcome = ways.sender.deliver(ways.events, &marked("nowhere", "lost", b"")).await?;
    talk.holds(outcome.accepted(), outcome)?;
    talk.step("it sends a settled message, then one that is not");
    talk.claim("AMQP-TEL-13", "both arrive, and only the second is accepted");
    let settled = ways.sender.send(ways.events, &marked("loop", "settled", b""), true).await;
    let second = ways.sender.deliver(ways.events, &marked("loop", "second", b"")).await?;
    talk.holds(second.accepted(), second)?;
    let answered = ways.sender.inbox().any(|event| {
        event.performative.code == harness::client::raw_amqp::performative::DISPOSITION
            && event.performative.field(1).number() == Some(u64::from(settled))
    });
    talk.holds(!answered, "a disposition for the settled one")?;
    ways.arrives(talk, "settled").await?;
    ways.arrives(talk, "second").await?;
    talk.claim("AMQP-TEL-17", "it is accepted");
    let header = Value::List(vec![Value::Boolean(true)]);
    for (what, message) in [
        ("an empty properties section and a data section", Message::data("x")),
        (
            "a header beside them",
            Message::default()
                .section(HEADER, header)
                .section(PROPERTIES, Value::List(Vec::new()))
                .section(DATA, Value::Binary(vec![1])),
        ),
        ("empty application properties", Message::data("x").application("a", "b")),
        ("an annotation nobody knows", Message::data("x").annotation("x-opt-nobody", "knows")),
    ] {
        talk.step(format!("it sends a message with {what}"));
        let outcome = ways.sender.deliver(ways.events, &message).await?;
        talk.holds(outcome.accepted(), outcome)?;
    }
    Ok(())
}

/// Rejected with this condition.
fn rejected(talk: &Talk, outcome: &Outcome, condition: &str) -> Told {
    talk.holds(outcome.rejected().is_some_and(|error| error.condition == condition), outcome)
}

async fn large(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut ways = Loop::on(stage).await?;
    for (requirement, size, condition) in [
        ("AMQP-TEL-02", 262_144, "amqp:link:message-size-exceeded"),
        ("AMQP-TEL-02", 600_000, "amqp:link:message-size-exceeded"),
        ("AMQP-TEL-03", 700_000, "amqp:not-allowed"),
    ] {
        talk.step(format!("module guest sends a body of {size} bytes"));
        talk.claim(requirement, format!("it is rejected with {condition}"));
        let outcome = ways.sender.deliver(ways.events, &marked("loop", "large", &vec![b'x'; size])).await?;
        rejected(talk, &outcome, condition)?;
        talk.claim("AMQP-TEL-15", "the description is text, in quotes or not");
        let description = outcome.rejected().and_then(|error| error.description);
        talk.holds(
            description.as_deref().is_some_and(|text| !text.trim_matches('"').is_empty()),
            format!("{description:?}"),
        )?;
        talk.step("then one of 250,000 bytes");
        talk.claim(requirement, "the link stands: it is accepted and arrives whole, and nothing of the other does");
        let body = vec![b'y'; 250_000];
        let arrived = ways.round(talk, &marked("loop", "small", &body)).await?;
        talk.holds(arrived.body() == body, format!("a body of {} bytes", arrived.body().len()))?;
    }
    Ok(())
}

async fn survives(stage: &mut Stage, talk: &mut Talk) -> Told {
    talk.step("a route takes messages on output `loop` of module guest, and no others");
    talk.claim("AMQP-TEL-04", "what guest sends on it arrives");
    let mut ways = Loop::on(stage).await?;
    let sent = marked("loop", "m", b"{}")
        .property(Property::MessageId, "an id")
        .property(Property::CorrelationId, "another id")
        .property(Property::UserId, Value::Binary(b"somebody".to_vec()))
        .property(Property::To, "/somewhere")
        .property(Property::ContentType, symbol("application/json"))
        .property(Property::ContentEncoding, symbol("utf-8"))
        .property(Property::AbsoluteExpiryTime, Value::Timestamp(1_900_000_000_123))
        .application("plain", "a value")
        .application("empty", "")
        .application("Grüße", "ä=&%")
        .application("iothub-message-schema", "a schema")
        .application("iothub-creation-time-utc", "2026-01-02T03:04:05Z")
        .application("iothub-connection-device-id", "a plain property")
        .application("number", Value::Int(7));
    talk.step("module guest sends a message with everything a message may say of itself");
    let arrived = ways.round(talk, &sent).await?;
    talk.claim("AMQP-TEL-04", "it arrives without an application property that names the output");
    talk.holds(arrived.application_value("iothub-outputname").is_none(), "iothub-outputname arrives")?;
    for property in [
        Property::MessageId,
        Property::CorrelationId,
        Property::UserId,
        Property::To,
        Property::ContentType,
        Property::ContentEncoding,
        Property::AbsoluteExpiryTime,
    ] {
        talk.claim("AMQP-TEL-05", format!("{property:?} arrives as {}", shown(&sent, property)));
        let same = arrived.property_value(property) == sent.property_value(property);
        talk.holds(same, shown(&arrived, property))?;
    }
    for name in [
        MARK,
        "plain",
        "empty",
        "Grüße",
        "iothub-message-schema",
        "iothub-creation-time-utc",
        "iothub-connection-device-id",
    ] {
        let due = sent.application_value(name);
        talk.claim("AMQP-TEL-06", format!("application property {name} arrives as {due:?}"));
        talk.holds(arrived.application_value(name) == due, format!("{:?}", arrived.application_value(name)))?;
    }
    talk.claim("AMQP-TEL-07", "an int arrives as null or as it was sent");
    let number = arrived.application_value("number");
    talk.holds(matches!(number, Some(Value::Null | Value::Int(7))), format!("{number:?}"))?;
    talk.step("module guest sends on another output, then on this");
    talk.claim("AMQP-TEL-04", "only the second arrives");
    let outcome = ways.sender.deliver(ways.events, &marked("elsewhere", "astray", b"")).await?;
    talk.holds(outcome.accepted(), outcome)?;
    ways.round(talk, &marked("loop", "after", b"")).await.and_then(|message| {
        let mark = message.application_value(MARK).and_then(Value::text).map(str::to_owned);
        talk.holds(mark.as_deref() == Some("after"), format!("{mark:?} arrives"))
    })
}

async fn bodies(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut ways = Loop::on(stage).await?;
    let data = |bytes: &[u8]| (DATA, Value::Binary(bytes.to_vec()));
    let sequence = Value::List(vec![string("a"), Value::Int(1_000)]);
    // Encoders may choose between short and long forms of the same value.
    let values = [string("hi"), Value::Binary(vec![0, 255]), Value::Boolean(true), sequence.clone()];
    let mut rows = vec![
        ("AMQP-TEL-08", vec![data(b"first, "), data(b"second")]),
        ("AMQP-TEL-08", vec![data(b""), data(&[0, 255]), data(b"")]),
        ("AMQP-TEL-19", vec![(AMQP_SEQUENCE, sequence)]),
    ];
    rows.extend(values.map(|value| ("AMQP-TEL-09", vec![(AMQP_VALUE, value)])));
    for (requirement, sections) in rows {
        let mut message = marked("loop", "body", b"");
        message.sections.retain(|(descriptor, _)| *descriptor != DATA);
        message.sections.extend(sections.clone());
        let told: Vec<String> = sections.iter().map(|(_, value)| value.to_string()).collect();
        talk.step(format!("module guest sends a message with {} in {} sections", told.join(", "), sections.len()));
        let (kind, value) = &sections[0];
        if *kind == DATA {
            let due: Vec<u8> = sections
                .iter()
                .flat_map(|(_, value)| if let Value::Binary(bytes) = value { bytes.clone() } else { Vec::new() })
                .collect();
            talk.claim(requirement, format!("it arrives as {due:?}"));
            let arrived = ways.round(talk, &message).await?.body();
            talk.holds(arrived == due, format!("{arrived:?}"))?;
        } else {
            talk.claim(requirement, "it arrives as the encoding of the value");
            let arrived = ways.round(talk, &message).await?.body();
            let mut rest = arrived.as_slice();
            let read = Value::take(&mut rest);
            talk.holds(read.as_ref() == Some(value) && rest.is_empty(), format!("{arrived:?}"))?;
        }
    }
    Ok(())
}

async fn spoofed(stage: &mut Stage, talk: &mut Talk) -> Told {
    let edge = stage.environment().blueprint().edge_device.clone();
    let mut ways = Loop::on(stage).await?;
    let sent = marked("loop", "spoof", b"")
        .annotation("iothub-connection-device-id", "leaf1")
        .annotation("iothub-connection-module-id", HOST)
        .annotation(INPUT, "other");
    talk.step("module guest sends a message whose annotations say that it comes from leaf1/host");
    talk.claim("AMQP-TEL-12", format!("it arrives as from {edge}/guest"));
    let arrived = ways.round(talk, &sent).await?;
    let said = |name: &str| arrived.annotation_value(name).and_then(Value::text).unwrap_or("nobody").to_owned();
    let (device, module) = (said("iothub-connection-device-id"), said("iothub-connection-module-id"));
    talk.holds(device == edge && module == GUEST, format!("from {device}/{module}"))
}

async fn batches(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut ways = Loop::on(stage).await?;
    let marks = ["b1", "b2", "b3"];
    let three = batch(&marks.map(|mark| marked("loop", mark, mark.as_bytes()).property(Property::MessageId, mark)));
    talk.step("module guest sends a batch of three messages");
    talk.claim(
        "AMQP-TEL-10",
        "one disposition accepts it, and the three arrive in order, each with what it says of itself",
    );
    let id = ways.sender.send_as(ways.events, &three.bytes(), false, BATCH).await;
    let outcome = Outcome(ways.sender.outcome(CHANNEL, id).await?);
    talk.holds(outcome.accepted(), outcome)?;
    for mark in marks {
        let message = ways.arrives(talk, mark).await?;
        talk.holds(message.body() == mark.as_bytes(), format!("a body of {:?}", message.body()))?;
        let id = message.property_value(Property::MessageId).text();
        talk.holds(id == Some(mark), format!("message-id {id:?}"))?;
    }
    let large = batch(&[
        marked("loop", "before", b""),
        marked("loop", "too large", &vec![b'x'; 262_144]),
        marked("loop", "behind", b""),
    ]);
    talk.step("it sends a batch whose second message is too large, then a message");
    talk.claim("AMQP-TEL-11", "the batch is rejected with amqp:link:message-size-exceeded, the message is accepted");
    let id = ways.sender.send_as(ways.events, &large.bytes(), false, BATCH).await;
    let outcome = Outcome(ways.sender.outcome(CHANNEL, id).await?);
    rejected(talk, &outcome, "amqp:link:message-size-exceeded")?;
    let outcome = ways.sender.deliver(ways.events, &marked("loop", "after", b"")).await?;
    talk.holds(outcome.accepted(), outcome)?;
    talk.claim("AMQP-TEL-11", "of the batch, what stands before the large message may arrive, and nothing else");
    let mut arrived = Vec::new();
    while arrived.last().map(String::as_str) != Some("after") {
        let message = ways.next().await?;
        arrived.push(message.application_value(MARK).and_then(Value::text).unwrap_or_default().to_owned());
    }
    talk.holds(arrived == ["after"] || arrived == ["before", "after"], format!("{arrived:?} arrive"))
}

async fn missing(stage: &mut Stage, talk: &mut Talk) -> Told {
    let mut ways = Loop::on(stage).await?;
    let bare = |sections: Vec<(u64, Value)>| Message { sections };
    let output = Value::Map(vec![(string(MARK), string("nameless")), (string("iothub-outputname"), string("loop"))]);
    talk.step("module guest sends a message without a properties section");
    talk.claim("AMQP-TEL-16", "it is rejected with amqp:internal-error; or it is accepted, and arrives");
    let nameless = bare(vec![(APPLICATION_PROPERTIES, output), (DATA, Value::Binary(b"x".to_vec()))]);
    let outcome = ways.sender.deliver(ways.events, &nameless).await?;
    if outcome.accepted() {
        ways.arrives(talk, "nameless").await?;
    } else {
        rejected(talk, &outcome, "amqp:internal-error")?;
    }
    talk.step("it sends a message without a body");
    talk.claim("AMQP-TEL-18", "it is rejected with amqp:internal-error");
    let mut headless = marked("loop", "bodiless", b"");
    headless.sections.retain(|(descriptor, _)| *descriptor != DATA);
    let outcome = ways.sender.deliver(ways.events, &headless).await?;
    rejected(talk, &outcome, "amqp:internal-error")?;
    talk.step("it sends an empty data section");
    talk.claim("AMQP-TEL-18", "the link stands: it is accepted, and arrives empty");
    let outcome = ways.sender.deliver(ways.events, &marked("loop", "empty", b"")).await?;
    talk.holds(outcome.accepted(), outcome)?;
    let message = ways.arrives(talk, "empty").await?;
    talk.holds(message.body().is_empty(), format!("{:?}", message.body()))
}
