//! Faults of queues, the store and upstream.

use super::planted;

/// Ids, each used at one place, mostly under `core/` and `store/`.
pub(super) const IDS: &[&str] = &[
    "EVT01-reported-update-makes-two",
    "EVT02-patch-is-written-anew",
    "EVT03-body-is-looked-into",
    "EVT04-own-reports-are-routed",
    "MET01-queue-length-with-other-labels",
    "MET02-queue-length-never-falls",
    "MET03-received-counts-copies",
    "MET04-unwanted-notifications-count-as-dropped",
    "MET05-operation-without-a-blank",
    "O12-full-store-keeps-its-limit",
    "R20-priorities-take-turns",
    "S01-network-error-is-for-ever",
    "S02-stopped-batch-counts-as-sent",
    "S03-next-batch-passes-a-failed-one",
    "S06-emptied-queue-starts-over",
    "S07-one-batch-for-each-arrival",
    "S12-expired-entries-are-delivered",
    "S13-time-to-live-is-read-once",
    "S14-zero-is-for-ever",
    "S14-zero-of-a-route-is-a-second",
    "S16-upstream-does-not-resume",
    "S17-start-throws-the-backlog-away",
    "S22-upstream-answer-is-awaited-for-ever",
    "S24-absent-sender-is-not-forwarded",
    "S36-failed-attempt-keeps-the-connection",
    "S37-full-store-acknowledges",
    "S39-message-goes-with-its-first-copy",
    "SF04-receiver-that-returns-is-not-noticed",
    "SF05-every-pause-is-the-first",
    "SF06-unacknowledged-counts-as-delivered",
    "SF06-unacknowledged-never-comes-again",
    "SF09-positions-are-not-kept",
    "SF10-route-time-to-live-is-ignored",
    "SF11-time-to-live-of-now-applies",
    "SF12-negative-is-a-second",
    "SF15-age-begins-with-the-process",
    "SF16-expiry-is-counted-for-each-queue",
    "SF19-conditions-are-evaluated-again",
    "SF20-former-priority-is-not-served",
    "SF21-parts-without-limit",
    "SF21-size-is-not-looked-at",
    "SF22-outage-stops-everybody",
    "SF24-touching-does-not-retry",
    "SF25-second-of-a-message-id-is-dropped",
    "drop-1-in-10",
    "drop-1-in-1000",
    "drop-after-10000",
    "repeat-1-in-10",
    "repeat-1-in-1000",
    "repeat-after-10000",
    "swap-1-in-10",
    "swap-1-in-1000",
    "swap-after-10000",
];

/// What a fault that strikes now and then does to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is acknowledged and not stored.
    Drop,
    /// It is stored twice in one of its queues.
    Repeat,
    /// It changes places with the next.
    Swap,
}

/// Whether such a fault is planted and strikes one of the messages `before + 1` to `now`, as the process counts them.
pub fn strikes(kind: Kind, before: u64, now: u64) -> bool {
    let (often, seldom, late) = match kind {
        Kind::Drop => ("drop-1-in-10", "drop-1-in-1000", "drop-after-10000"),
        Kind::Repeat => ("repeat-1-in-10", "repeat-1-in-1000", "repeat-after-10000"),
        Kind::Swap => ("swap-1-in-10", "swap-1-in-1000", "swap-after-10000"),
    };
    let every = |step: u64| before / step < now / step;
    (planted(often) && every(10)) || (planted(seldom) && every(1_000)) || (planted(late) && now > 10_000)
}
