//! Where a route sends: IoT Hub or an input of a module on this edge device.

/// The far end of a route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sink {
    /// IoT Hub.
    Upstream,
    /// An input of a module on this edge device, letter case as written in the route.
    Input {
        /// Module id; may be empty (nobody can have it, but the product accepts it).
        module: String,
        /// Input name, never blank.
        input: String,
    },
}
