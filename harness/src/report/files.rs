//! The files of a report. Each is written beside its place and then renamed, so a reader never finds half a file.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::record::Record;
use super::v1::Report;
use super::{html, json, junit};

/// Where a report was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// `report.json`.
    pub json: PathBuf,
    /// `junit.xml`.
    pub junit: PathBuf,
    /// `report.html`.
    pub html: PathBuf,
}

/// A report that could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The folder does not exist and cannot be made.
    #[error("cannot make the report's folder {}; name another one, or make it yourself: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}; see that its folder is writable and the disk not full: {source}", .file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Writes `report.json`, `junit.xml` and `report.html` into a folder, which is made if it does not exist.
///
/// # Errors
/// [`WriteError`] names the file and what to do. Files written before it stay.
pub fn write(record: &Record, folder: &Path) -> Result<Written, WriteError> {
    let report = Report::from(record).relative_to(folder);
    Ok(Written {
        json: write_file(folder, "report.json", json::text(&report).as_bytes())?,
        junit: write_file(folder, "junit.xml", junit::text(&report).as_bytes())?,
        html: write_file(folder, "report.html", html::page(&report).as_bytes())?,
    })
}

/// Writes one file, at once or not at all.
pub(super) fn write_file(folder: &Path, name: &str, content: &[u8]) -> Result<PathBuf, WriteError> {
    fs::create_dir_all(folder).map_err(|source| WriteError::Folder { folder: folder.to_owned(), source })?;
    let file = folder.join(name);
    let beside = folder.join(format!(".{name}.{}", std::process::id()));
    let written = fs::File::create(&beside).and_then(|mut new| {
        new.write_all(content)?;
        new.sync_all()?;
        fs::rename(&beside, &file)
    });
    written.map_err(|source| {
        // What is left of an attempt helps nobody; that it was never made is the likely reason it cannot be removed.
        let _ = fs::remove_file(&beside);
        WriteError::File { file: file.clone(), source }
    })?;
    Ok(file)
}
