//! Names of system properties, as conditions ask for them and the store keeps them.

/// Message id, chosen by the sender.
pub const MESSAGE_ID: &str = "messageId";
/// Correlation id.
pub const CORRELATION_ID: &str = "cid";
/// User id.
pub const USER_ID: &str = "userId";
/// Destination, chosen by the sender.
pub const TO: &str = "to";
/// Expiry, chosen by the sender; means nothing to queues.
pub const EXPIRY: &str = "absolute-expiry-time";
/// Content type.
pub const CONTENT_TYPE: &str = "contentType";
/// Content encoding.
pub const CONTENT_ENCODING: &str = "contentEncoding";
/// Message schema.
pub const MESSAGE_SCHEMA: &str = "messageSchema";
/// Creation time.
pub const CREATION_TIME: &str = "creationTime";
/// Component name.
pub const COMPONENT: &str = "dt-subject";
/// Feedback wanted for cloud-to-device messages.
pub const ACK: &str = "ack";
/// Operation.
pub const OPERATION: &str = "operation";
/// Interface id.
pub const INTERFACE_ID: &str = "iothub-interface-id";
/// Output of the sending module.
pub const OUTPUT_NAME: &str = "outputName";
/// Device of the sender, stamped by the hub.
pub const CONNECTION_DEVICE_ID: &str = "connectionDeviceId";
/// Module of the sender, stamped by the hub; absent for devices.
pub const CONNECTION_MODULE_ID: &str = "connectionModuleId";
/// GUID stamped by the hub.
pub const EDGE_MESSAGE_ID: &str = "edgeMessageId";
/// `internal` for senders on the edge device, else `downstream`; stamped by the hub.
pub const ORIGIN_INTERFACE: &str = "edgeHubOriginInterface";
/// When a twin notification was made.
pub const ENQUEUED_TIME: &str = "enqueuedTime";
/// Deliveries before, as the sender says.
pub const DELIVERY_COUNT: &str = "deliveryCount";
/// Number in a sequence, as the sender says.
pub const SEQUENCE_NUMBER: &str = "sequenceNumber";
/// Lock token, as the sender says.
pub const LOCK_TOKEN: &str = "lockToken";
/// `twinChangeNotification`, or absent.
pub const MESSAGE_TYPE: &str = "messageType";
/// Device whose twin changed.
pub const REPORTING_DEVICE_ID: &str = "rpSenderDeviceId";
/// Module whose twin changed.
pub const REPORTING_MODULE_ID: &str = "rpSenderModuleId";
