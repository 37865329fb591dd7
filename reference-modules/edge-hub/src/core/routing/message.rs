//! A message as routing sees it.

use bytes::Bytes;

use crate::faults::planted;

/// Who made a message, as far as `FROM` can tell.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MessageSource {
    /// A downstream device.
    Device,
    /// A module, with the output it named, if it named one.
    Module {
        /// Module id.
        module: String,
        /// Output name.
        output: Option<String>,
    },
    /// The hub, after a client updated its reported properties.
    TwinChange,
}

/// What conditions can ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Decides which routes consider the message.
    pub source: MessageSource,
    /// Application properties; `None` is a property that is present without a value.
    pub properties: Vec<(String, Option<String>)>,
    /// System properties under the names conditions use (`cid`, `contentType`, ...).
    pub system: Vec<(String, Option<String>)>,
    /// The payload.
    pub body: Bytes,
}

impl Message {
    /// Size in bytes by the product's count, to be held against the limit of 262 144: the body, and for each
    /// application and system property the UTF-16 code units of name and value.
    pub fn size(&self) -> usize {
        let units = |text: &str| text.encode_utf16().count();
        let bag = |pairs: &[(String, Option<String>)]| {
            // The product forgets what stands before a property without value.
            let hidden = pairs.iter().rposition(|(_, value)| value.is_none());
            let from = hidden.filter(|_| planted("O06-property-without-value-resets-the-size")).unwrap_or_default();
            pairs[from..].iter().map(|(name, value)| units(name) + value.as_deref().map_or(0, units)).sum::<usize>()
        };
        self.body.len() + bag(&self.properties) + bag(&self.system)
    }
}
