//! Bytes of one message: a version, then counted fields.

use bytes::Bytes;

use crate::core::routing::{Message, MessageSource};

const VERSION: u8 = 1;

/// A missing value is written as this length.
const NONE: u32 = u32::MAX;

pub(super) fn write(message: &Message) -> Vec<u8> {
    let mut record = Vec::with_capacity(message.body.len() + 512);
    record.push(VERSION);
    match &message.source {
        MessageSource::Device => record.push(0),
        MessageSource::Module { module, output } => {
            record.push(1);
            put(&mut record, Some(module.as_bytes()));
            put(&mut record, output.as_deref().map(str::as_bytes));
        }
        MessageSource::TwinChange => record.push(2),
    }
    for pairs in [&message.properties, &message.system] {
        record.extend(u32::try_from(pairs.len()).unwrap_or(NONE).to_be_bytes());
        for (name, value) in pairs {
            put(&mut record, Some(name.as_bytes()));
            put(&mut record, value.as_deref().map(str::as_bytes));
        }
    }
    record.extend_from_slice(&message.body);
    record
}

/// `None` when the bytes are no message of this version.
pub(super) fn read(record: &[u8]) -> Option<Message> {
    let (&[version, kind], mut rest) = record.split_first_chunk()?;
    if version != VERSION {
        return None;
    }
    let source = match kind {
        0 => MessageSource::Device,
        1 => MessageSource::Module { module: text(&mut rest)??, output: text(&mut rest)? },
        2 => MessageSource::TwinChange,
        _ => return None,
    };
    let properties = pairs(&mut rest)?;
    let system = pairs(&mut rest)?;
    Some(Message { source, properties, system, body: Bytes::copy_from_slice(rest) })
}

fn put(record: &mut Vec<u8>, field: Option<&[u8]>) {
    let length = field.map_or(NONE, |field| u32::try_from(field.len()).unwrap_or(NONE));
    record.extend(length.to_be_bytes());
    record.extend_from_slice(field.unwrap_or_default());
}

fn pairs(rest: &mut &[u8]) -> Option<Vec<(String, Option<String>)>> {
    let count = length(rest)?;
    (0..count).map(|_| Some((text(rest)??, text(rest)?))).collect()
}

fn text(rest: &mut &[u8]) -> Option<Option<String>> {
    let length = length(rest)?;
    if length == NONE {
        return Some(None);
    }
    let (field, tail) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    *rest = tail;
    String::from_utf8(field.to_vec()).ok().map(Some)
}

fn length(rest: &mut &[u8]) -> Option<u32> {
    let (length, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(u32::from_be_bytes(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: MessageSource) -> Message {
        Message {
            source,
            properties: vec![(String::from("a"), None), (String::new(), Some(String::from("ü")))],
            system: vec![(String::from("messageId"), Some(String::new()))],
            body: Bytes::from_static(b"\0\x01body"),
        }
    }

    #[test]
    fn a_message_comes_back_as_it_was_written() {
        for source in [
            MessageSource::Device,
            MessageSource::TwinChange,
            MessageSource::Module { module: String::from("m"), output: None },
            MessageSource::Module { module: String::from("m"), output: Some(String::from("o")) },
        ] {
            let message = message(source);
            assert_eq!(read(&write(&message)).as_ref(), Some(&message));
        }
    }

    #[test]
    fn a_record_cut_short_within_its_properties_is_no_message() {
        let record = write(&message(MessageSource::Device));
        let body = "\0\x01body".len();
        for length in 0..record.len() - body {
            assert_eq!(read(&record[..length]), None, "{length} bytes");
        }
    }
}
