//! The topics of direct methods and of the twin. They name no device and no module: a connection has but one.

/// What to subscribe to for requests of direct methods.
pub(crate) const METHODS: &str = "$iothub/methods/POST/#";
/// What to subscribe to for answers to requests about the twin.
pub(crate) const TWIN_ANSWERS: &str = "$iothub/twin/res/#";
/// What to subscribe to for changes of desired properties.
pub(crate) const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";

/// What comes on a topic of these.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reserved {
    /// A request for a direct method.
    Call { name: String, id: String },
    /// An answer to a request about the twin.
    TwinAnswer { status: u16, id: String },
    /// A change of desired properties.
    Desired,
}

const ID: &str = "/?$rid=";

/// What came on a topic; nothing when it is none of these.
pub(crate) fn read(topic: &str) -> Option<Reserved> {
    if let Some(rest) = topic.strip_prefix("$iothub/methods/POST/") {
        // A name stands there as it is, slashes included.
        let (name, id) = rest.rsplit_once(ID)?;
        return Some(Reserved::Call { name: name.to_owned(), id: id.to_owned() });
    }
    if let Some(rest) = topic.strip_prefix("$iothub/twin/res/") {
        let (status, rest) = rest.split_once(ID)?;
        // IoT Hub itself says a version behind the id; edgeHub does not.
        let id = rest.split('&').next().unwrap_or(rest);
        return Some(Reserved::TwinAnswer { status: status.parse().ok()?, id: id.to_owned() });
    }
    topic.starts_with("$iothub/twin/PATCH/properties/desired/").then_some(Reserved::Desired)
}

/// Where the answer to a direct method goes.
pub(crate) fn method_answer(status: i32, id: &str) -> String {
    format!("$iothub/methods/res/{status}{ID}{id}")
}

/// Where to ask for the twin.
pub(crate) fn twin_get(id: &str) -> String {
    format!("$iothub/twin/GET{ID}{id}")
}

/// Where to report properties.
pub(crate) fn report(id: &str) -> String {
    format!("$iothub/twin/PATCH/properties/reported{ID}{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_by_its_topic() {
        let call = |name: &str, id: &str| Some(Reserved::Call { name: name.to_owned(), id: id.to_owned() });
        assert_eq!(read("$iothub/methods/POST/reset/?$rid=7-a"), call("reset", "7-a"));
        assert_eq!(read("$iothub/methods/POST/a/b?/?$rid=7"), call("a/b?", "7"));
        let answer = |status, id: &str| Some(Reserved::TwinAnswer { status, id: id.to_owned() });
        assert_eq!(read("$iothub/twin/res/204/?$rid=3&$version=9"), answer(204, "3"));
        assert_eq!(read("$iothub/twin/PATCH/properties/desired/?$version=4"), Some(Reserved::Desired));
        for topic in ["", "$iothub/methods/POST/reset", "$iothub/twin/res/x/?$rid=1", "devices/d/modules/m/inputs/i/"] {
            assert_eq!(read(topic), None, "{topic}");
        }
    }
}
