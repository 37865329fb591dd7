//! `storeAndForwardConfiguration`. Source: `routing.md` 1.3.

use super::ConfigError;
use super::binding::{Members, Unbound, converted, integer};
use crate::core::lenient_json::Json;
use crate::faults::planted;

/// Time to live in seconds and the limit of the in-memory store.
///
/// Quirk: a section without `timeToLiveSecs` means zero, not the 7200 that templates write.
pub(super) fn read(members: &Members) -> Result<(i32, Option<i64>), ConfigError> {
    const SECTION: &str = "storeAndForwardConfiguration";
    let section = match members.required(SECTION) {
        Ok(section) => Members::within(section, SECTION)?,
        Err(_) if planted("CFG14-missing-store-and-forward-has-a-default") => {
            return Ok((7200, None));
        }
        Err(_) => {
            return Err(ConfigError::new(format!("Value cannot be null. (Parameter '{SECTION}')")));
        }
    };
    let time_to_live_secs = section.get("timeToLiveSecs").map_or(Ok(0), seconds)?;
    let max_size_bytes = match section.get("storeLimits") {
        None | Some(Json::Null) => None,
        Some(limits) => {
            const LIMIT: &str = "maxSizeBytes";
            let limit = Members::within(limits, "storeLimits")?.get(LIMIT);
            Some(limit.map_or(Some(0), converted).ok_or_else(|| Unbound::new(LIMIT))?)
        }
    };
    Ok((time_to_live_secs, max_size_bytes))
}

/// Stricter than other numbers: an integer of 32 bits, or a string that holds one.
fn seconds(value: &Json) -> Result<i32, Unbound> {
    let number = match value {
        Json::Integer(number) => Some(*number),
        Json::Text(text) => integer(text),
        _ => None,
    };
    number.and_then(|number| i32::try_from(number).ok()).ok_or_else(|| Unbound::new("timeToLiveSecs"))
}
