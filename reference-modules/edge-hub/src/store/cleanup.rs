//! What removes entries: the cleanup, and the erasure of a queue. Both write page by page, since a queue may hold
//! millions.

use std::collections::HashSet;
use std::io;

use super::backend::{Change, Space};
use super::reference::Reference;
use super::{Cleaned, Store, entry_key, number, record};
use crate::core::{Envelope, QueueId, Timestamp};
use crate::faults::planted;

/// Entries looked at before what is to be removed of them is written.
const PAGE: usize = 1_024;

impl Store {
    /// Removes what is settled or expired from the head of a queue, up to the first entry that is neither; or, if
    /// `entire`, wherever it stands.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn clean(
        &mut self,
        queue: QueueId,
        checkpoint: u64,
        skipped: &[u64],
        entire: bool,
        now: Timestamp,
    ) -> io::Result<Cleaned> {
        let mut cleaned = Cleaned { expired: Vec::new(), remaining: 0 };
        self.commit_page()?;
        let Some(opened) = self.queues.get(&queue) else { return Ok(cleaned) };
        // What was removed before is passed over: the database remembers removed keys for a while.
        let (mut from, end) = (entry_key(&opened.name, opened.first), entry_key(&opened.name, u64::MAX));
        let skipped: HashSet<u64> = skipped.iter().copied().collect();
        let mut first_kept = None;
        loop {
            let page = self.backend.range(Space::Queues, &from, &end, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            let mut removed = 0;
            for (key, value) in page {
                let offset = number(&key);
                let reference = Reference::read(&value);
                let expired = reference.as_ref().is_none_or(|reference| reference.expired(now));
                if offset >= checkpoint && !expired {
                    first_kept.get_or_insert(offset);
                    if entire {
                        continue;
                    }
                    break;
                }
                let untaken = skipped.contains(&offset) || offset >= checkpoint;
                let sender = reference.as_ref().filter(|_| untaken).map(|reference| self.sender(reference.message));
                self.changes.push(Change::Remove(Space::Queues, key));
                removed += 1;
                let last_copy = match &reference {
                    Some(reference) => self.drop_copy(reference.message)?,
                    None => false,
                };
                if last_copy || planted("SF16-expiry-is-counted-for-each-queue") {
                    cleaned.expired.extend(sender.transpose()?.flatten());
                }
            }
            self.commit_page()?;
            if let Some(opened) = self.queues.get_mut(&queue) {
                opened.entries = opened.entries.saturating_sub(removed);
            }
            if first_kept.is_some() && !entire {
                break;
            }
        }
        if let Some(opened) = self.queues.get_mut(&queue) {
            opened.first = first_kept.unwrap_or(opened.committed);
            cleaned.remaining = opened.entries;
        }
        Ok(cleaned)
    }

    /// Erases a queue. Positions go on where they ended, should it be opened again.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn delete_queue(&mut self, queue: QueueId) -> io::Result<()> {
        let Some(opened) = self.queues.remove(&queue) else { return Ok(()) };
        // From here on every entry is settled, whatever comes between.
        self.put_checkpoint(&opened.name, opened.next);
        self.commit_page()?;
        let (mut from, end) = (entry_key(&opened.name, opened.first), entry_key(&opened.name, opened.next));
        loop {
            let page = self.backend.range(Space::Queues, &from, &end, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            from = [last.as_slice(), &[0]].concat();
            for (key, value) in page {
                self.changes.push(Change::Remove(Space::Queues, key));
                if let Some(reference) = Reference::read(&value) {
                    self.drop_copy(reference.message)?;
                }
            }
            self.commit_page()?;
        }
        Ok(())
    }

    /// Commits in the middle of what the engine will commit. Should that fail, so does the engine's commit, which
    /// answers for what was added before.
    fn commit_page(&mut self) -> io::Result<()> {
        let result = self.commit();
        self.lost |= result.is_err();
        result
    }

    fn sender(&self, message: u64) -> io::Result<Option<(String, String)>> {
        let record = self.backend.get(Space::Messages, &message.to_be_bytes())?;
        Ok(record.as_deref().and_then(record::read).map(|message| {
            let envelope = Envelope::stored(message);
            (envelope.sender.to_string(), envelope.output().to_owned())
        }))
    }

    /// One queue less refers to a message. True when it was the last; then the message goes too.
    fn drop_copy(&mut self, message: u64) -> io::Result<bool> {
        let key = message.to_be_bytes().to_vec();
        let copies = match self.copies.get(&message) {
            Some(copies) => Some(*copies),
            None => self.backend.get(Space::Copies, &key)?.map(|value| number(&value)),
        };
        if let Some(copies @ 2..) = copies {
            self.put_copies(message, copies - 1);
            return Ok(false);
        }
        if copies.is_some() {
            self.copies.remove(&message);
            self.changes.push(Change::Remove(Space::Copies, key.clone()));
        }
        self.changes.push(Change::Remove(Space::Messages, key));
        Ok(true)
    }
}
