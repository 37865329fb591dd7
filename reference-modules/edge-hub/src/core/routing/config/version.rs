//! `schemaVersion`, the one member whose name is looked up in exact case. Source: `routing.md` 1.1.

use super::ConfigError;
use super::binding::integer;
use crate::core::lenient_json::Json;
use crate::faults::planted;

/// The versions that exist. Numbers behind the first two do not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SchemaVersion {
    V1_0,
    V1_1,
    V1_2,
    V1_3,
}

/// The version of a document.
///
/// Quirk: a number counts by its value, so 1.10 is 1.1 and 1.0 is 1, which is no version.
pub(super) fn of(members: &[(String, Json)]) -> Result<SchemaVersion, ConfigError> {
    let text = match members.iter().find(|(name, _)| name == "schemaVersion") {
        Some((_, Json::Text(text))) => text.clone(),
        Some((_, Json::Integer(number))) => number.to_string(),
        Some((_, Json::Float { value, .. })) => value.to_string(),
        None if planted("CFG02-missing-version-is-1-0") => String::from("1.0"),
        None => return Err(ConfigError::new("EdgeHub config missing SchemaVersion")),
        Some(_) => return Err(ConfigError::new("Error parsing schema version string")),
    };
    parse(&text)
}

fn parse(text: &str) -> Result<SchemaVersion, ConfigError> {
    let malformed = || ConfigError::new(format!("Error parsing schema version string: {text}"));
    let unsupported = || ConfigError::new(format!("EdgeHub config contains unsupported SchemaVersion: {text}"));
    let parts: Option<Vec<i32>> = text.split('.').map(part).collect();
    let parts = match parts {
        Some(parts) if (2..=4).contains(&parts.len()) => parts,
        Some(parts) if parts.len() == 1 && planted("CFG02-minor-version-may-be-absent") => {
            vec![parts[0], 0]
        }
        _ => return Err(malformed()),
    };
    if planted("CFG01-further-numbers-are-refused") && parts.len() > 2 {
        return Err(unsupported());
    }
    match parts[..2] {
        [1, 0] => Ok(SchemaVersion::V1_0),
        [1, 1] => Ok(SchemaVersion::V1_1),
        [1, 2] if planted("CFG01-version-1-2-is-refused") => Err(unsupported()),
        [1, 2] => Ok(SchemaVersion::V1_2),
        [1, 3] => Ok(SchemaVersion::V1_3),
        [1, _] if planted("CFG01-later-minor-versions-are-accepted") => Ok(SchemaVersion::V1_3),
        _ => Err(unsupported()),
    }
}

fn part(text: &str) -> Option<i32> {
    integer(text).and_then(|number| i32::try_from(number).ok()).filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_to_four_numbers() {
        assert_eq!(parse("1.0"), Ok(SchemaVersion::V1_0));
        assert_eq!(parse(" 1.01"), Ok(SchemaVersion::V1_1));
        assert_eq!(parse("1.+2.9"), Ok(SchemaVersion::V1_2));
        for refused in ["1", "abc", "", "0.1", "1.4", "2.0", "1.10", "1.1.", "1.1.1.1.1", "-1.1", "1.2147483648"] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}
