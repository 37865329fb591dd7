//! The folder of one run. It is removed at the end, and by the next run when this one was killed.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use super::address::hold;

const PREFIX: &str = "edgecert-run-";

/// A folder that belongs to this run alone.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    keep: bool,
    _lease: UnixListener,
}

impl RunFolder {
    /// Makes the folder below the system's temporary folder, and removes what killed runs left there.
    ///
    /// # Errors
    /// When the temporary folder cannot be written.
    pub fn create(keep: bool) -> io::Result<Self> {
        let parent = std::env::temp_dir();
        sweep(&parent);
        for number in 0..1_000 {
            let name = format!("{PREFIX}{}-{number}", std::process::id());
            let Ok(lease) = hold(&name) else { continue };
            let path = parent.join(name);
            std::fs::create_dir_all(&path)?;
            return Ok(Self { path, keep, _lease: lease });
        }
        Err(io::Error::other("a thousand runs of one process: none of their names is free"))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if !self.keep {
            // Nothing can be done about a folder that resists; the next run tries again.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes folders whose run is no longer alive: their names are not held any more.
///
/// Kept folders (`--keep`) carry a marker and stay.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        if hold(name).is_ok() && !entry.path().join(KEPT).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Marks a folder that its run was told to keep.
const KEPT: &str = "kept";

impl RunFolder {
    /// Keeps the folder when the run ends, and from later sweeps.
    ///
    /// # Errors
    /// When the marker cannot be written.
    pub fn keep(&mut self) -> io::Result<()> {
        self.keep = true;
        std::fs::write(self.path.join(KEPT), "kept by --keep; remove the folder when you are done\n")
    }
}
