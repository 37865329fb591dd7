//! What is kept beside the report for whoever has to believe a violation: what went over the wire, and the logs.
//!
//! Evidence is a help, not a verdict: what cannot be read or written is left out.

use std::ffi::OsString;
use std::path::Path;

use super::wire_log::WireLog;

/// Files, gathered at the moment they tell of.
#[derive(Debug)]
pub struct Evidence {
    files: Vec<(OsString, Vec<u8>)>,
}

impl Evidence {
    /// What there is by now: the wire, and the logs in a folder.
    pub async fn gather(logs: &Path, wire: &WireLog) -> Self {
        let mut files = vec![(OsString::from("wire.log"), wire.text().into_bytes())];
        let Ok(mut entries) = tokio::fs::read_dir(logs).await else { return Self { files } };
        while let Ok(Some(entry)) = entries.next_entry().await {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                if let Ok(log) = tokio::fs::read(&path).await {
                    files.push((entry.file_name(), log));
                }
            }
        }
        Self { files }
    }

    /// Writes the files into a folder, which is made; false when that cannot be done.
    pub async fn write(&self, folder: &Path) -> bool {
        if tokio::fs::create_dir_all(folder).await.is_err() {
            return false;
        }
        for (name, content) in &self.files {
            let _ = tokio::fs::write(folder.join(name), content).await;
        }
        true
    }
}
