//! Faults of identities that change while the hub runs, and what the hub tells of its clients.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[
    "AUTH006-unknown-identity-is-let-in",
    "AUTH006-unknown-identity-is-not-asked-for",
    "AUTH007-disabled-later-is-not-noticed",
    "AUTH008-changed-key-is-not-asked-for",
    "AUTH008-every-failure-asks",
    "AUTH009-change-disconnects-others",
    "AUTH009-client-with-an-old-key-stays",
    "AUTH009-refresh-removes-nobody",
    "AUTH009-removed-client-stays",
    "AUTH010-credentials-are-looked-at-once",
    "AUTH011-nobody-is-believed-without-iot-hub",
    "AUTH011-scope-goes-with-the-process",
    "AUTH013-older-thumbprints-are-not-known",
    "AUTH08-first-token-counts-for-ever",
    "CONN02-subscriptions-outlive-their-connection",
    "CONN03-connected-client-is-not-reported",
    "CONN03-time-of-connecting-is-missing",
    "CONN04-time-of-leaving-is-missing",
    "CONN05-slash-is-escaped",
    "CONN07-hub-lists-itself",
    "S23-disabled-sender-blocks-the-queue",
    "U20-sender-out-of-scope-blocks-the-queue",
];
