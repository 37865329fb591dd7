//! The path of an address, as the product's URI class sees it.

use crate::faults::planted;

/// The address names no path, or a host or port that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no address")]
pub struct NoAddress;

/// What an absolute address begins with, in any letter case. Anything else is a path.
const SCHEME: &str = "amqps";

/// The segments of an address' path: without query and fragment, dots resolved, nothing decoded. `host` completes an
/// address that is relative.
///
/// # Errors
/// [`NoAddress`].
pub fn segments(address: &str, host: &str) -> Result<Vec<String>, NoAddress> {
    let absolute = address.get(..SCHEME.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SCHEME));
    if !absolute && !address.starts_with('/') && address != "$cbs" && planted("LNK02-bare-path-is-no-address") {
        return Err(NoAddress);
    }
    let path = if absolute {
        let behind = address[SCHEME.len()..].strip_prefix("://").ok_or(NoAddress)?;
        let end = behind.find(['/', '\\', '?', '#']).unwrap_or(behind.len());
        let (authority, path) = behind.split_at(end);
        let (host, port) = authority.split_once(':').unwrap_or((authority, "5671"));
        if !good_host(host) || host.is_empty() || port.parse::<u16>().is_err() {
            return Err(NoAddress);
        }
        path
    } else {
        if !good_host(host) {
            return Err(NoAddress);
        }
        address
    };
    let path = path.split(['?', '#']).next().unwrap_or_default().replace('\\', "/");
    let mut segments: Vec<String> = Vec::new();
    let path = path.strip_prefix('/').unwrap_or(&path);
    let mut parts = path.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part.to_lowercase().replace("%2e", ".").as_str() {
            dots @ ("." | "..") => {
                if dots == ".." {
                    segments.pop();
                }
                if last {
                    segments.push(String::new());
                }
            }
            _ => segments.push(part.to_owned()),
        }
    }
    Ok(segments)
}

fn good_host(host: &str) -> bool {
    !host.contains(|character: char| character.is_whitespace() || character.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_path_of_an_address_counts() {
        for (address, path) in [
            ("amqps://any.host/devices/d/twin", "devices/d/twin"),
            ("AMQPS://any.host:5671/devices/d/twin?x=y", "devices/d/twin"),
            ("/devices/d/twin#x", "devices/d/twin"),
            ("devices/d/twin", "devices/d/twin"),
            ("amqp://h/devices/d/twin", "amqp://h/devices/d/twin"),
            ("/a/../devices/./d\\twin", "devices/d/twin"),
            ("/devices/d/x/%2E%2e/twin", "devices/d/twin"),
            ("/devices/d/twin/", "devices/d/twin/"),
        ] {
            assert_eq!(
                segments(address, "localhost").map(|segments| segments.join("/")).as_deref(),
                Ok(path),
                "{address}"
            );
        }
    }

    #[test]
    fn a_host_that_cannot_be_makes_no_address() {
        for (address, host) in
            [("amqps://a b/x", "h"), ("amqps://h:x/x", "h"), ("amqpsx", "h"), ("amqps:///x", "h"), ("/x", "a b")]
        {
            assert_eq!(segments(address, host), Err(NoAddress), "{address} on {host}");
        }
    }
}
