//! What goes out: frames, in order.

use fe2o3_amqp_types::performatives::Performative;

use crate::heads::amqp::frame;

/// Frames that are to be written to the client.
#[derive(Debug, Default)]
pub struct Wire {
    /// Bytes, to be taken by whoever writes them.
    pub bytes: Vec<u8>,
    /// Largest frame the client takes.
    pub max_frame_bytes: usize,
}

impl Wire {
    /// Says something.
    pub fn say(&mut self, channel: u16, performative: Performative) {
        frame::write(&mut self.bytes, 0, channel, &frame::encode(&performative), &[]);
    }

    /// Says something with as much payload as one frame takes; returns how much that was. What is said depends on
    /// whether that is all of it.
    pub fn say_with(&mut self, channel: u16, payload: &[u8], what: impl Fn(bool) -> Performative) -> usize {
        let whole = frame::encode(&what(false));
        if 8 + whole.len() + payload.len() <= self.max_frame_bytes {
            frame::write(&mut self.bytes, 0, channel, &whole, payload);
            return payload.len();
        }
        let partial = frame::encode(&what(true));
        let room = self.max_frame_bytes.saturating_sub(8 + partial.len()).max(1).min(payload.len());
        frame::write(&mut self.bytes, 0, channel, &partial, &payload[..room]);
        room
    }
}
