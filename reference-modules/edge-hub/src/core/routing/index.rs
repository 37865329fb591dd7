//! Which routes a message may take, looked up instead of asked one by one: a thousand routes of other senders, or for
//! other values of a property, cost a message nothing.
//!
//! A route is filed under its source, and there under a comparison `property = 'text'` that its condition cannot be
//! true without, if it has one. What is looked up is only a choice: each chosen route is still asked for its source and
//! its condition. So the index may offer a route in vain, but must never leave one out.

use std::collections::HashMap;

use super::condition::Condition;
use super::letter_case;
use super::message::Message;
use super::source::Source;

/// The routes of a table by their numbers.
#[derive(Debug, Default)]
pub(super) struct Index {
    sources: HashMap<String, Shelf>,
    unfiled: Vec<usize>,
}

/// The routes of one source.
#[derive(Debug, Default)]
struct Shelf {
    /// Those for any message.
    open: Vec<usize>,
    /// Those that ask for a value of a property, by its name in folded case.
    asking: HashMap<String, HashMap<String, Vec<usize>>>,
}

impl Index {
    /// Files the next route.
    pub(super) fn add(&mut self, route: usize, source: &Source, condition: &Condition) {
        let Some(prefix) = source.prefix() else { return self.unfiled.push(route) };
        let shelf = self.sources.entry(prefix.to_owned()).or_default();
        let place = match condition.required_text() {
            Some((name, text)) => {
                shelf.asking.entry(name.folded().to_owned()).or_default().entry(text.to_owned()).or_default()
            }
            None => &mut shelf.open,
        };
        place.push(route);
    }

    /// Every route that may take this message, among others, in the order they were added. `path` is that of the
    /// message's source, as routes compare it.
    pub(super) fn candidates(&self, path: &str, message: &Message) -> Vec<usize> {
        let mut routes = self.unfiled.clone();
        let mut folded = None;
        // A source takes a path by whole segments, so it is one of the path's beginnings.
        let shelves = path.match_indices('/').filter_map(|(slash, _)| self.sources.get(&path[..=slash]));
        for shelf in shelves {
            routes.extend(&shelf.open);
            if shelf.asking.is_empty() {
                continue;
            }
            for (name, value) in folded.get_or_insert_with(|| properties(message)) {
                let asking = shelf.asking.get(name).and_then(|values| values.get(*value));
                routes.extend(asking.into_iter().flatten());
            }
        }
        routes.sort_unstable();
        routes
    }
}

/// What conditions see of the application properties: of names that differ only in case the first one.
fn properties(message: &Message) -> HashMap<String, &str> {
    let mut properties = HashMap::with_capacity(message.properties.len());
    for (name, value) in &message.properties {
        properties.entry(letter_case::fold(name)).or_insert(value.as_deref());
    }
    properties.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::message::MessageSource;
    use super::super::{Config, RoutingTable};
    use super::*;

    const SOURCES: &[&str] = &[
        "/*",
        "/messages",
        "/messages/*",
        "/Messages/modules/*",
        "/messages/modules/cam/*",
        "/messages/modules/ca/*",
        "/messages/modules/CAM/outputs/*",
        "/messages/modules/cam/outputs/o",
        "/messages/modules/cam/outputs/ö/deep/*",
        "/messages/modules/*/outputs/o",
        "/twinChangeNotifications/*",
        "/elsewhere/*",
    ];

    const CONDITIONS: &[&str] = &[
        "true",
        "line = 'press'",
        "'press' = LINE",
        "line = 'weld'",
        "line = 'PRESS'",
        "line = ''",
        "straße = 'ß'",
        "grade = '1' AND line = 'press'",
        "line = 'press' AND $body.n = 1",
        "line <> 'press'",
        "NOT (line = 'press')",
        "line = 'press' OR grade = '1'",
        "$line = 'press'",
        "grade = line",
        "$body.n = 1",
        "as_number(grade) >= 1",
    ];

    fn sources() -> impl Strategy<Value = MessageSource> {
        let module =
            (select(vec!["cam", "Cam", "ca", "camera"]), select(vec!["", "o", "O", "ö/deep", "Ö/Deep/er", "/"]));
        prop_oneof![
            Just(MessageSource::Device),
            Just(MessageSource::TwinChange),
            module.prop_map(|(module, output)| MessageSource::Module {
                module: module.to_owned(),
                output: Some(output.to_owned()).filter(|output| !output.is_empty()),
            }),
        ]
    }

    fn messages() -> impl Strategy<Value = Message> {
        let name = select(vec!["line", "LINE", "Line", "grade", "straße", "STRAßE", "other"]);
        let value = select(vec![None, Some(""), Some("press"), Some("PRESS"), Some("weld"), Some("1"), Some("ß")]);
        let property = (name, value).prop_map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
        (sources(), prop::collection::vec(property, 0..4)).prop_map(|(source, properties)| Message {
            source,
            properties,
            system: ["contentType", "contentEncoding", "line"]
                .iter()
                .zip(["application/json", "utf-8", "press"])
                .map(|(name, value)| ((*name).to_owned(), Some(value.to_owned())))
                .collect(),
            body: bytes::Bytes::from_static(br#"{"n":1}"#),
        })
    }

    fn tables() -> impl Strategy<Value = RoutingTable> {
        let route = (select(SOURCES), select(CONDITIONS), 0..6_u8, 0..10_u32, 0..3_u32);
        prop::collection::vec(route, 0..40).prop_map(|routes| {
            let routes: serde_json::Map<_, _> = routes
                .into_iter()
                .enumerate()
                .map(|(number, (source, condition, sink, priority, time_to_live_secs))| {
                    let sink = match sink {
                        0 => String::from("$upstream"),
                        input => format!("BrokeredEndpoint(\"/modules/m/inputs/i{input}\")"),
                    };
                    let route = format!("FROM {source} WHERE {condition} INTO {sink}");
                    let spec = serde_json::json!({
                        "route": route, "priority": priority, "timeToLiveSecs": time_to_live_secs,
                    });
                    (format!("r{number}"), spec)
                })
                .collect();
            let document = serde_json::json!({
                "schemaVersion": "1.1", "routes": routes, "storeAndForwardConfiguration": { "timeToLiveSecs": 7200 },
            });
            RoutingTable::compile(&Config::parse("edge1", &document.to_string()).unwrap()).unwrap()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_table_decides_as_if_it_asked_every_route(
            table in tables(),
            messages in prop::collection::vec(messages(), 1..8),
        ) {
            for message in &messages {
                prop_assert_eq!(table.destinations(message), table.destinations_asking_all(message), "{:?}", message);
            }
        }
    }
}
