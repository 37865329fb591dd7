//! How a test lives: the environment it asks for, the clients it acts through, what it saw, and how that is told.
//!
//! - [`subject`]: what is judged. [`engine`] starts things, [`environment`] is one subject in its world.
//! - [`transport`]: what clients speak.
//! - [`client`]: modules and leaf devices at the hub, and the service side of the cloud.
//! - [`observe`]: the history of a case, and the monitors every history must pass.
//! - [`deadline`]: every wait has a name and a limit.
//! - [`requirement`]: the catalogue's types; requirements themselves are data of the suites.
//! - [`outcome`]: the four ends of a test, and what a violation carries.
//! - [`event`]: what a run says of itself; [`report`] turns it into console, JSON, JUnit and HTML.

pub mod client;
pub mod deadline;
pub mod engine;
pub mod environment;
pub mod event;
pub mod observe;
pub mod outcome;
pub mod report;
pub mod requirement;
pub mod runner;
pub mod stage;
pub mod subject;
pub mod transport;
