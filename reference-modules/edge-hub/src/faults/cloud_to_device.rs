//! Faults of cloud-to-device messages, and of what a module must not get.

/// Ids, in the order of the alphabet.
pub const IDS: &[&str] = &[
    "B02-device-id-alone-finds-the-receiver",
    "B03-devicebound-filter-replaces-the-others",
    "B07-message-seen-before-is-dropped",
    "C2D01-address-is-not-shown",
    "C2D01-module-is-listened-for",
    "C2D01-modules-are-shown-messages-of-devices",
    "C2D02-devicebound-filter-closes-the-module",
    "C2D02-devicebound-filter-of-a-module-is-refused",
    "C2D04-stored-filter-is-not-listened-for",
    "C2D05-application-properties-are-lost",
    "C2D05-first-of-a-connection-is-lost",
    "C2D05-last-byte-is-missing",
    "C2D06-acknowledgement-completes-nothing",
    "C2D06-completed-before-the-acknowledgement",
    "C2D07-qos-0-is-not-completed",
    "C2D09-every-device-is-listened-for",
    "C2D10-kept-for-the-next-connection",
    "C2D11-devices-are-shown-messages-of-others",
    "FILE03-upload-is-granted",
    "FILE03-upload-topic-closes-the-connection",
    "O03-session-of-an-absent-device-stays",
    "O07-resubscribing-does-not-resume",
    "Q09-lost-listener-waits-for-something-to-send",
];
