//! The example table of conditions, `examples/conditions.toml`: what each yields for a message.

use harness::stage::Outgoing;
use serde::Deserialize;

/// What a condition yields, or where it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Expected {
    /// The message is routed.
    #[serde(rename = "T")]
    True,
    /// It is not.
    #[serde(rename = "F")]
    False,
    /// It is not, and not its negation either.
    #[serde(rename = "U")]
    Undefined,
    /// The condition does not compile.
    #[serde(rename = "E")]
    Compile,
    /// The document is refused.
    #[serde(rename = "P")]
    Parse,
}

/// One row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The condition.
    pub condition: String,
    /// What it yields.
    pub expected: Expected,
    /// Requirements it is an example of.
    pub requirements: Vec<String>,
    /// The body, when it is not the table's own.
    #[serde(default)]
    body: Option<String>,
    /// Content type and encoding, when they are not the table's own; empty for none.
    #[serde(default)]
    content_type: Option<String>,
    #[serde(default)]
    content_encoding: Option<String>,
    /// Bits of each character of the body, when it is sent in UTF-16 or UTF-32.
    #[serde(default)]
    wide: Option<u8>,
}

#[derive(Deserialize)]
struct File {
    row: Vec<Row>,
}

/// The body most rows are about.
const BODY: &str = r#"{"reading":{"celsius":19.25,"tags":["a","b"],"ok":true,"note":null,"at":"2031-02-03T04:05:06Z"},"seq":4,"t":true,"f":false,"s":"text","m":[[1],[3]]}"#;

/// All rows.
pub fn conditions() -> Vec<Row> {
    let file: File = toml::from_str(include_str!("../examples/conditions.toml"))
        .expect("examples/conditions.toml is checked by a test");
    file.row
}

impl Row {
    /// The message the row is about.
    pub fn message(&self) -> Outgoing {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect::<Vec<_>>()
        };
        let mut properties =
            pairs(&[("line", "press"), ("grade", "12"), ("$zone", "app-zone"), ("five", "(5)"), ("umlaut", "straße")]);
        properties.push(("bare".to_owned(), None));
        let content_type = self.content_type.as_deref().unwrap_or("application/json");
        let content_encoding = self.content_encoding.as_deref().unwrap_or("utf-8");
        let system =
            pairs(&[("messageId", "id-1"), ("contentType", content_type), ("contentEncoding", content_encoding)]);
        let body = self.body.as_deref().unwrap_or(BODY);
        let body: Vec<u8> = match self.wide {
            Some(16) => body.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Some(32) => body.chars().flat_map(|character| u32::from(character).to_le_bytes()).collect(),
            _ => body.as_bytes().to_vec(),
        };
        Outgoing {
            output: Some("raw".to_owned()),
            properties,
            system: system.into_iter().filter(|(_, value)| value.as_deref() != Some("")).collect(),
            body: body.into(),
        }
    }
}
