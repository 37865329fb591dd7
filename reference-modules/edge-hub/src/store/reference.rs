//! What a queue holds of a message: three numbers.

use super::number;
use crate::core::Timestamp;

/// What a queue holds of a message.
pub(super) struct Reference {
    pub(super) message: u64,
    pub(super) enqueued: Timestamp,
    pub(super) time_to_live_millis: Option<u64>,
}

impl Reference {
    pub(super) fn write(&self) -> Vec<u8> {
        let time_to_live = self.time_to_live_millis.unwrap_or(u64::MAX);
        [self.message, self.enqueued.as_millis(), time_to_live].map(u64::to_be_bytes).concat()
    }

    pub(super) fn read(value: &[u8]) -> Option<Reference> {
        let mut fields = value.chunks_exact(8).map(number);
        Some(Reference {
            message: fields.next()?,
            enqueued: Timestamp::from_millis(fields.next()?),
            time_to_live_millis: Some(fields.next()?).filter(|millis| *millis != u64::MAX),
        })
    }

    pub(super) fn expired(&self, now: Timestamp) -> bool {
        self.time_to_live_millis.is_some_and(|limit| now.since(self.enqueued).as_millis() >= u128::from(limit))
    }
}
