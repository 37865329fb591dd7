//! What survives the process: queues, sessions, documents.
//!
//! - [`Store`]: the layout, the same over both backends.
//! - `backend`: an ordered key-value space on disk (fjall, below `<StorageFolder>/edgeHub`) or in memory.
//! - `record`: bytes of one message; `reference`: what a queue holds of it.
//! - `cleanup`: what removes entries again.
//!
//! A commit on disk is one write to the journal, handed to the operating system before the commit returns: it outlives
//! the process, even a SIGKILL. To outlive a power loss too, every commit must be synced (`edgecert__fsync=true`), which
//! costs a disk flush for each group of messages.
//!
//! ```text
//! queues       length-prefixed queue name, offset -> message, time of acceptance, time to live
//! checkpoints  queue name                         -> first unsettled offset
//! messages     number                             -> the message, stored once whatever the number of queues
//! copies       number                             -> queues that still refer to it, when more than one did
//! documents    name                               -> sessions, twins
//! ```
//!
//! Settled entries stay until the cleanup removes them, as in the product.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

mod backend;
mod cleanup;
mod record;
mod reference;

use crate::core::{Copy, Entry, Envelope, QueueId, Timestamp};
use crate::faults::planted;
use backend::{Backend, Change, Space};
use reference::Reference;

/// The store.
#[derive(Debug)]
pub struct Store {
    backend: Backend,
    queues: HashMap<QueueId, Opened>,
    changes: Vec<Change>,
    /// Queues that refer to a message, where `changes` say so.
    copies: HashMap<u64, u64>,
    /// Changes were lost by a commit of the store's own, which the next commit has to tell.
    lost: bool,
    next_message: u64,
    limit_bytes: Option<u64>,
}

#[derive(Debug)]
struct Opened {
    name: String,
    /// No entry stands before this position.
    first: u64,
    checkpoint: u64,
    /// Position of the next entry.
    next: u64,
    /// Position behind the last committed entry.
    committed: u64,
    /// Committed entries, settled ones included.
    entries: u64,
    moved: bool,
}

/// What a queue held when it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// First unsettled position.
    pub checkpoint: u64,
    /// Position of the next entry.
    pub tail: u64,
    /// Entries between them.
    pub length: u64,
}

/// What a cleanup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleaned {
    /// Messages nobody had taken, of which this was the last copy: sender and output.
    pub expired: Vec<(String, String)>,
    /// Entries that remain.
    pub remaining: u64,
}

impl Store {
    /// Opens the store below a folder, or creates it there.
    ///
    /// # Errors
    /// When the folder cannot be written, or what is in it cannot be read.
    pub fn on_disk(folder: &Path, sync: bool) -> io::Result<Store> {
        Store::over(Backend::on_disk(folder, sync)?)
    }

    /// A store that is gone with the process.
    pub fn in_memory() -> Store {
        Store::over(Backend::in_memory()).expect("reading memory cannot fail")
    }

    fn over(backend: Backend) -> io::Result<Store> {
        let next_message = backend.last(Space::Messages)?.map_or(0, |key| number(&key) + 1);
        Ok(Store {
            backend,
            queues: HashMap::new(),
            changes: Vec::new(),
            copies: HashMap::new(),
            lost: false,
            next_message,
            limit_bytes: None,
        })
    }

    /// Limits the bytes an in-memory store takes; on disk there is no limit.
    pub fn limit(&mut self, bytes: Option<u64>) {
        if self.is_full() && planted("O12-full-store-keeps-its-limit") {
            return;
        }
        self.limit_bytes = bytes;
    }

    /// Whether the limit is reached. It is looked at before a write, so one item may overshoot it.
    pub fn is_full(&self) -> bool {
        match (self.backend.bytes_in_memory(), self.limit_bytes) {
            (Some(used), Some(limit)) => used >= limit,
            _ => false,
        }
    }

    /// Opens a queue under an id of the running process.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_queue(&mut self, queue: QueueId, name: &str) -> io::Result<QueueState> {
        let checkpoint = self.backend.get(Space::Checkpoints, name.as_bytes())?.map_or(0, |value| number(&value));
        let (mut first, mut last, mut entries, mut length) = (None, None, 0, 0);
        self.backend.each_key(Space::Queues, &entry_key(name, 0), &entry_key(name, u64::MAX), |key| {
            let offset = number(key);
            first.get_or_insert(offset);
            last = Some(offset);
            entries += 1;
            length += u64::from(offset >= checkpoint);
        })?;
        let empty = if planted("S06-emptied-queue-starts-over") { 0 } else { checkpoint };
        let tail = last.map_or(empty, |last| (last + 1).max(checkpoint));
        let state = QueueState { checkpoint, tail, length };
        let opened = Opened {
            name: name.to_owned(),
            first: first.unwrap_or(tail),
            checkpoint,
            next: tail,
            committed: tail,
            entries,
            moved: false,
        };
        self.queues.insert(queue, opened);
        Ok(state)
    }

    /// Forgets the id of a queue; its entries stay.
    pub fn close_queue(&mut self, queue: QueueId) {
        self.note_checkpoint(queue);
        self.queues.remove(&queue);
    }

    /// Adds a message to queues, to be stored with the next commit; `None` when the store is full.
    pub fn append(&mut self, envelope: &Envelope, enqueued: Timestamp, copies: &[Copy]) -> Option<Vec<u64>> {
        if self.is_full() || copies.iter().any(|copy| !self.queues.contains_key(&copy.queue)) {
            return None;
        }
        let message = self.next_message;
        self.next_message += 1;
        let key = message.to_be_bytes().to_vec();
        self.changes.push(Change::Put(Space::Messages, key, record::write(&envelope.message)));
        if copies.len() > 1 && !planted("S39-message-goes-with-its-first-copy") {
            self.put_copies(message, copies.len() as u64);
        }
        let mut offsets = Vec::with_capacity(copies.len());
        for copy in copies {
            let opened = self.queues.get_mut(&copy.queue)?;
            let offset = opened.next;
            opened.next += 1;
            let reference = Reference { message, enqueued, time_to_live_millis: copy.time_to_live_millis };
            self.changes.push(Change::Put(Space::Queues, entry_key(&opened.name, offset), reference.write()));
            offsets.push(offset);
        }
        Some(offsets)
    }

    /// Everything of a queue before this position is settled; written with the next commit.
    pub fn checkpoint(&mut self, queue: QueueId, offset: u64) {
        if let Some(opened) = self.queues.get_mut(&queue) {
            opened.checkpoint = offset;
            opened.moved = true;
        }
    }

    /// Remembers a document, with the next commit.
    pub fn put_document(&mut self, name: &str, document: Vec<u8>) {
        self.changes.push(Change::Put(Space::Documents, name.as_bytes().to_vec(), document));
    }

    /// Forgets a document, with the next commit. One that is not there costs no write: every clean session asks for this.
    pub fn remove_document(&mut self, name: &str) {
        let put =
            |change: &Change| matches!(change, Change::Put(Space::Documents, known, _) if known == name.as_bytes());
        if self.changes.iter().any(put) || !matches!(self.document(name), Ok(None)) {
            self.changes.push(Change::Remove(Space::Documents, name.as_bytes().to_vec()));
        }
    }

    /// A committed document.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn document(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.backend.get(Space::Documents, name.as_bytes())
    }

    /// All committed documents whose names begin like this, under the rest of their names.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn documents(&self, beginning: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
        let behind = [beginning.as_bytes(), &[0xff]].concat();
        let found = self.backend.range(Space::Documents, beginning.as_bytes(), &behind, usize::MAX)?;
        let rest = |name: &[u8]| String::from_utf8_lossy(&name[beginning.len()..]).into_owned();
        Ok(found.into_iter().map(|(name, document)| (rest(&name), document)).collect())
    }

    /// Makes everything since the last commit durable, all or nothing.
    ///
    /// # Errors
    /// When it is not durable; then none of it is in the store.
    pub fn commit(&mut self) -> io::Result<()> {
        let queues: Vec<QueueId> = self.queues.keys().copied().filter(|queue| self.queues[queue].moved).collect();
        for queue in queues {
            self.note_checkpoint(queue);
        }
        self.copies.clear();
        let result = match std::mem::take(&mut self.changes) {
            changes if changes.is_empty() => Ok(()),
            changes => self.backend.commit(changes),
        };
        for opened in self.queues.values_mut() {
            if result.is_ok() {
                opened.entries += opened.next - opened.committed;
            }
            opened.committed = opened.next;
        }
        match std::mem::take(&mut self.lost) {
            true => result.and(Err(io::Error::other("an earlier commit of the same group failed"))),
            false => result,
        }
    }

    /// Reads entries of a queue, and tells where to read on. Entries that cannot be decoded are passed over.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn read(&self, queue: QueueId, from: u64, limit: usize) -> io::Result<(Vec<Entry>, u64)> {
        let Some(opened) = self.queues.get(&queue) else { return Ok((Vec::new(), from)) };
        let (first, end) = (entry_key(&opened.name, from), entry_key(&opened.name, u64::MAX));
        let found = self.backend.range(Space::Queues, &first, &end, limit)?;
        let next = match found.last() {
            Some((key, _)) if found.len() == limit => number(key) + 1,
            _ => opened.committed,
        };
        let mut entries = Vec::with_capacity(found.len());
        for (key, value) in found {
            entries.extend(self.entry(number(&key), &value)?);
        }
        Ok((entries, next))
    }

    fn entry(&self, offset: u64, value: &[u8]) -> io::Result<Option<Entry>> {
        let Some(reference) = Reference::read(value) else { return Ok(None) };
        let message = self.backend.get(Space::Messages, &reference.message.to_be_bytes())?;
        Ok(message.as_deref().and_then(record::read).map(|message| Entry {
            offset,
            enqueued: if planted("SF15-age-begins-with-the-process") {
                crate::engine::now()
            } else {
                reference.enqueued
            },
            time_to_live_millis: reference.time_to_live_millis,
            envelope: Arc::new(Envelope::stored(message)),
        }))
    }

    fn note_checkpoint(&mut self, queue: QueueId) {
        if planted("SF09-positions-are-not-kept") {
            return;
        }
        let Some(opened) = self.queues.get_mut(&queue) else { return };
        if std::mem::take(&mut opened.moved) {
            let (name, offset) = (opened.name.clone(), opened.checkpoint);
            self.put_checkpoint(&name, offset);
        }
    }

    fn put_copies(&mut self, message: u64, copies: u64) {
        self.copies.insert(message, copies);
        let key = message.to_be_bytes().to_vec();
        self.changes.push(Change::Put(Space::Copies, key, copies.to_be_bytes().to_vec()));
    }

    fn put_checkpoint(&mut self, name: &str, offset: u64) {
        let value = offset.to_be_bytes().to_vec();
        self.changes.push(Change::Put(Space::Checkpoints, name.as_bytes().to_vec(), value));
    }
}

fn entry_key(name: &str, offset: u64) -> Vec<u8> {
    let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), name.as_bytes(), &offset.to_be_bytes()].concat()
}

/// The last eight bytes as a number.
fn number(bytes: &[u8]) -> u64 {
    let tail = bytes.len().saturating_sub(8);
    bytes[tail..].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests;
