//! Views of a run. The report is the product: whoever has never seen edgecert must understand from it what was
//! claimed, what happened, and how to see it again.
//!
//! - [`record`] folds events into a [`Record`]; [`standing`] says what that means for each requirement, [`verdict`]
//!   for the subject.
//! - [`v1`] is the published form of a record. JSON, JUnit and HTML are made of it, and of nothing else.
//! - [`console`] is for whoever waits, [`json`] for programs, [`junit`] for CI servers, [`html`] for everybody else.
//! - [`block`] is one failure as text, the same for console and JUnit; [`paragraph`] and [`figures`] set the words and
//!   the numbers in it.
//! - [`files`] writes the files of a report, each at once or not at all.
//! - [`kill_matrix`] is the report of the self-test: which planted faults were noticed.

pub mod block;
pub mod console;
pub mod figures;
pub mod files;
pub mod html;
pub mod json;
pub mod junit;
pub mod kill_matrix;
pub mod paragraph;
pub mod record;
pub mod standing;
pub mod v1;
pub mod verdict;

pub use files::{WriteError, Written, write};
pub use record::Record;
pub use standing::Standing;
pub use verdict::Verdict;
