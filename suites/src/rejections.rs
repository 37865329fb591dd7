//! Rejections: cloud-to-device messages and file upload: refused to modules, given to leaf devices.

use harness::runner::Test;

/// All tests of the suite.
pub fn tests() -> Vec<Test> {
    Vec::new()
}
