//! How the cloud's messages reach leaf devices, one promise at a time. Covers C2D-05 to -07, -09 to -11 and MQTT-C2D.

use std::time::Duration;

use harness::client::iot_hub::{Concerns, MessageState};
use harness::deadline;
use harness::runner::Test;
use harness::subject::Ability;

use super::mailbox::Mailbox;
use super::post::{self, ANNA, BERT, LONG_LOCK, Post, SHORT_LOCK, Stop};
use crate::declare::{fixed, slow};

/// A test told on an empty stage, with this lock.
macro_rules! told {
    ($name:literal, $requirements:expr, $lock:expr, $course:path) => {
        fixed("rejections", concat!("rejections::delivery::", $name), $requirements, |worker| {
            Box::pin(post::play(worker, $requirements[0], $lock, |post| Box::pin($course(post))))
        })
    };
}

/// All tests of this section.
pub fn tests() -> Vec<Test> {
    let restart = vec![Ability::Restart];
    vec![
        told!("puback_completes_a_message_and_nothing_before_it", &["MQTT-C2D-02", "C2D-06"], LONG_LOCK, completed),
        told!("at_qos_0_a_message_is_completed_by_its_delivery", &["C2D-07"], LONG_LOCK, at_qos_0),
        told!("each_of_several_is_completed_by_its_own_puback", &["C2D-06", "C2D-05"], LONG_LOCK, one_by_one),
        told!("what_is_not_acknowledged_comes_again", &["C2D-06"], SHORT_LOCK, again),
        told!("the_hub_keeps_no_message_of_a_device_that_left", &["C2D-10"], LONG_LOCK, not_kept),
        told!("nothing_is_pulled_without_a_subscription", &["C2D-09", "C2D-05"], LONG_LOCK, unsubscribed),
        told!("nothing_is_pulled_for_a_device_that_is_away", &["C2D-09"], LONG_LOCK, away),
        told!("a_device_that_hardly_came_leaves_nothing_behind", &["C2D-09"], LONG_LOCK, hardly_came),
        told!("a_device_gets_no_message_of_another", &["C2D-11", "MQTT-C2D-06"], SHORT_LOCK, of_another),
        told!("a_stored_session_gets_what_came_meanwhile", &["MQTT-C2D-04"], LONG_LOCK, stored),
        told!("a_message_outlasts_an_unsubscription", &["MQTT-C2D-06", "C2D-05"], SHORT_LOCK, resubscribed),
        told!("an_outage_only_delays_messages", &["C2D-05"], SHORT_LOCK, outage),
        Test {
            needs: restart,
            ..told!("messages_outlast_the_hub", &["C2D-10", "C2D-06", "MQTT-C2D-04"], SHORT_LOCK, outlasting)
        },
        slow(told!("a_message_may_wait_long_for_its_subscription", &["MQTT-C2D-05"], LONG_LOCK, waited_long)),
        told!("a_message_waits_for_its_subscription", &["MQTT-C2D-05"], LONG_LOCK, waited),
    ]
}

async fn completed(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    let sent = post.sends(ANNA, 1).await?;
    let got = post.gets(&mut anna, &sent).await?;
    // By the time of this answer, whatever the hub had to say of the message would have been said.
    post.gets_nothing(&mut anna).await?;
    post.are(ANNA, &sent, MessageState::Locked).await?;
    post.acknowledges(&mut anna, &got).await;
    post.are(ANNA, &sent, MessageState::Completed).await
}

async fn at_qos_0(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 0).await?;
    let sent = post.sends(ANNA, 3).await?;
    let got = post.gets(&mut anna, &sent).await?;
    if let Some(other) = got.iter().find(|mail| mail.published.qos != 0) {
        return Err(post.stop("they come at QoS 0", other.to_string()));
    }
    post.are(ANNA, &sent, MessageState::Completed).await
}

async fn one_by_one(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    let sent = post.sends(ANNA, 4).await?;
    let got = post.gets(&mut anna, &sent).await?;
    for done in 1..=sent.len() {
        post.acknowledges(&mut anna, &got[done - 1..done]).await;
        post.are(ANNA, &sent[..done], MessageState::Completed).await?;
        post.are(ANNA, &sent[done..], MessageState::Locked).await?;
    }
    Ok(())
}

/// First on the same connection, where the cloud's lock ends; then on another one.
async fn again(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    let sent = post.sends(ANNA, 1).await?;
    post.gets(&mut anna, &sent).await?;
    post.gets(&mut anna, &sent).await?;
    post.leaves(anna, false).await?;
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    post.takes(&mut anna, &sent).await
}

/// The cloud takes back what the device did not acknowledge. Whoever still had it would deliver it.
async fn not_kept(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, true).await?;
    post.subscribes(&mut anna, 1).await?;
    let sent = post.sends(ANNA, 2).await?;
    post.gets(&mut anna, &sent).await?;
    post.leaves(anna, false).await?;
    post.are(ANNA, &sent, MessageState::Locked).await?;
    post.stage.environment().iot_hub().purge_queue(ANNA).await?;
    post.steps.push("the cloud takes both back".to_owned());
    let mut anna = post.connects(ANNA, true).await?;
    let later = post.sends(ANNA, 1).await?;
    post.gets(&mut anna, &later).await?;
    post.gets_nothing(&mut anna).await
}

async fn unsubscribed(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.gets_nothing(&mut anna).await?;
    let sent = post.sends(ANNA, 3).await?;
    post.gets_nothing(&mut anna).await?;
    post.were_not_pulled(ANNA, &sent).await?;
    post.about = "C2D-05";
    post.subscribes(&mut anna, 1).await?;
    post.gets(&mut anna, &sent).await.map(drop)
}

/// Another device gets a message that was sent later, so the hub had the time.
async fn away(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut bert = post.connects(BERT, false).await?;
    post.subscribes(&mut bert, 1).await?;
    for kept in [false, true] {
        let mut anna = post.connects(ANNA, kept).await?;
        post.subscribes(&mut anna, 1).await?;
        let first = post.sends(ANNA, 1).await?;
        let got = post.gets(&mut anna, &first).await?;
        post.acknowledges(&mut anna, &got).await;
        post.are(ANNA, &first, MessageState::Completed).await?;
        post.leaves(anna, kept).await?;
        let meanwhile = post.sends(ANNA, 1).await?;
        let to_bert = post.sends(BERT, 1).await?;
        let got = post.gets(&mut bert, &to_bert).await?;
        post.acknowledges(&mut bert, &got).await;
        post.gets_nothing(&mut bert).await?;
        post.were_not_pulled(ANNA, &meanwhile).await?;
        post.stage.environment().iot_hub().purge_queue(ANNA).await?;
    }
    Ok(())
}

/// Connections to the cloud that were being opened when their device left must not stay and take its messages.
async fn hardly_came(post: &mut Post<'_>) -> Result<(), Stop> {
    const TIMES: usize = 8;
    for number in 0..TIMES {
        let mut anna = post.connects(ANNA, false).await?;
        post.subscribes(&mut anna, 1).await?;
        post.steps.push(format!("{anna} breaks off its connection at once"));
        let left = anna.break_off().await;
        left.map_err(|observed| post.stop("the hub ends its side too", observed))?;
        // Others are served meanwhile, so whatever was being opened stands by now, or never will.
        let mut bert = post.connects(BERT, false).await?;
        post.gets_nothing(&mut bert).await?;
        let sent = post.sends(ANNA, 1).await?;
        post.gets_nothing(&mut bert).await?;
        let mut anna = post.connects(ANNA, false).await?;
        post.subscribes(&mut anna, 1).await?;
        let got = post.gets(&mut anna, &sent).await?;
        post.acknowledges(&mut anna, &got).await;
        post.are(ANNA, &sent, MessageState::Completed).await?;
        post.leaves(anna, number % 2 == 0).await?;
    }
    Ok(())
}

/// What comes of the device's own messages under a filter of another is the product's secret: it may close the
/// connection. They must not be lost over it.
async fn of_another(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    let filter = Mailbox::filter(BERT);
    post.steps.push(format!("{anna} subscribes to {filter}"));
    let subscribed = anna.subscribe_to(&filter, 1).await;
    subscribed.map_err(|observed| post.stop("SUBACK", observed))?;
    let mut bert = post.connects(BERT, false).await?;
    post.subscribes(&mut bert, 1).await?;
    let to_bert = post.sends(BERT, 2).await?;
    let got = post.gets(&mut bert, &to_bert).await?;
    post.acknowledges(&mut bert, &got).await;
    post.gets_nothing(&mut anna).await?;
    post.are(BERT, &to_bert, MessageState::Completed).await?;
    let to_anna = post.sends(ANNA, 1).await?;
    post.steps.push("it reads its twin, unless its connection was closed".to_owned());
    if let Ok(more) = anna.look().await {
        if let Some(mail) = more.first() {
            return Err(post.stop("no message comes that the filter does not match", mail.to_string()));
        }
    }
    drop(anna);
    post.about = "MQTT-C2D-06";
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    post.takes(&mut anna, &to_anna).await
}

async fn stored(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, true).await?;
    post.subscribes(&mut anna, 1).await?;
    let first = post.sends(ANNA, 1).await?;
    let got = post.gets(&mut anna, &first).await?;
    post.acknowledges(&mut anna, &got).await;
    post.are(ANNA, &first, MessageState::Completed).await?;
    for farewell in [true, false] {
        post.leaves(anna, farewell).await?;
        let meanwhile = post.sends(ANNA, 2).await?;
        anna = post.connects(ANNA, true).await?;
        let got = post.gets(&mut anna, &meanwhile).await?;
        post.acknowledges(&mut anna, &got).await;
        post.are(ANNA, &meanwhile, MessageState::Completed).await?;
    }
    Ok(())
}

/// The answer from the cloud behind UNSUBACK shows that the cloud knows of it. The product may close the connection over
/// a message that comes then, and does not resume on the same one.
async fn resubscribed(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    let first = post.sends(ANNA, 1).await?;
    let got = post.gets(&mut anna, &first).await?;
    post.acknowledges(&mut anna, &got).await;
    post.are(ANNA, &first, MessageState::Completed).await?;
    for qos in [1, 0] {
        post.unsubscribes(&mut anna).await?;
        post.gets_nothing(&mut anna).await?;
        let meanwhile = post.sends(ANNA, 2).await?;
        post.gets_nothing(&mut anna).await?;
        post.subscribes(&mut anna, qos).await?;
        post.takes(&mut anna, &meanwhile).await?;
        post.about = "C2D-05";
        let later = post.sends(ANNA, 3).await?;
        post.takes(&mut anna, &later).await?;
        post.about = "MQTT-C2D-06";
    }
    Ok(())
}

async fn outage(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    let first = post.sends(ANNA, 1).await?;
    post.takes(&mut anna, &first).await?;
    let iot_hub = post.stage.environment().iot_hub();
    let from = iot_hub.next_call().await?;
    let outage = iot_hub.impose("outage", Concerns::Everyone, Duration::ZERO).await?;
    post.steps.push("the cloud is out of reach".to_owned());
    post.gone(from, ANNA).await?;
    let meanwhile = post.sends(ANNA, 3).await?;
    let alive = anna.ping().await;
    alive.map_err(|observed| post.stop("the device stays connected", observed))?;
    post.were_not_pulled(ANNA, &meanwhile).await?;
    post.stage.environment().iot_hub().lift(outage).await?;
    post.steps.push("the cloud is within reach again".to_owned());
    let got = post.gets_within(deadline::DRAIN, &mut anna, &meanwhile).await?;
    post.acknowledges(&mut anna, &got).await;
    post.takes(&mut anna, &meanwhile).await
}

async fn outlasting(post: &mut Post<'_>) -> Result<(), Stop> {
    let mut anna = post.connects(ANNA, true).await?;
    post.subscribes(&mut anna, 1).await?;
    let first = post.sends(ANNA, 3).await?;
    let got = post.gets(&mut anna, &first).await?;
    post.acknowledges(&mut anna, &got[..1]).await;
    post.are(ANNA, &first[..1], MessageState::Completed).await?;
    post.restarts().await?;
    drop(anna);
    let meanwhile = post.sends(ANNA, 2).await?;
    let mut anna = post.connects(ANNA, true).await?;
    let open = [&first[1..], &meanwhile].concat();
    post.takes(&mut anna, &open).await?;
    post.about = "C2D-06";
    post.gets_nothing(&mut anna).await
}

async fn waited(post: &mut Post<'_>) -> Result<(), Stop> {
    waited_for(post, Duration::ZERO).await
}

/// Longer than the product's allowance for clocks that differ.
async fn waited_long(post: &mut Post<'_>) -> Result<(), Stop> {
    waited_for(post, Duration::from_secs(35)).await
}

async fn waited_for(post: &mut Post<'_>, time: Duration) -> Result<(), Stop> {
    let sent = post.sends(ANNA, 2).await?;
    // That time passes is what the message has to live through.
    tokio::time::sleep(time).await;
    post.steps.push(format!("{} s later", time.as_secs()));
    let mut anna = post.connects(ANNA, false).await?;
    post.subscribes(&mut anna, 1).await?;
    let got = post.gets(&mut anna, &sent).await?;
    post.acknowledges(&mut anna, &got).await;
    post.are(ANNA, &sent, MessageState::Completed).await
}
