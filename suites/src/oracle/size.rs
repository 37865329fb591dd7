//! How large a message is by the product's count.
//!
//! Source: `Microsoft.Azure.Devices.Routing.Core/Message.cs`; exact to the byte on the product while it ran.

use super::Message;

/// Largest size that is taken.
pub const LARGEST: usize = 262_144;

/// Bytes of the body and UTF-16 units of every name and value, those of the system properties the hub stamps included.
///
/// A property without value resets the count of its group on the product; cases here send none near the limit.
pub fn size(message: &Message) -> usize {
    let units = |text: &str| text.encode_utf16().count();
    let group = |pairs: &[(String, Option<String>)]| {
        pairs.iter().map(|(name, value)| units(name) + value.as_deref().map_or(0, units)).sum::<usize>()
    };
    message.body.len() + group(&message.properties) + group(&message.system)
}

#[cfg(test)]
mod tests {
    use super::super::Source;
    use super::*;

    /// The figure the product showed: module of three letters on `edge1`, no bag, 262021 bytes taken and one more not.
    #[test]
    fn the_product_s_own_boundary_is_met() {
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        let message = Message {
            source: Source::Module { module: "mod".to_owned(), output: None },
            properties: Vec::new(),
            system: vec![
                pair("connectionDeviceId", "edge1"),
                pair("connectionModuleId", "mod"),
                pair("edgeMessageId", "00000000-0000-0000-0000-000000000000"),
                pair("edgeHubOriginInterface", "internal"),
            ],
            body: vec![0; 262_021],
        };
        assert_eq!(size(&message), LARGEST);
    }
}
