//! Ordered key-value spaces, on disk or in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use fjall::{Keyspace, PartitionCreateOptions, PartitionHandle, PersistMode};

type Bytes = Vec<u8>;

/// One space of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    Queues,
    Checkpoints,
    Messages,
    Copies,
    Documents,
}

const SPACES: [(Space, &str); 5] = [
    (Space::Queues, "queues"),
    (Space::Checkpoints, "checkpoints"),
    (Space::Messages, "messages"),
    (Space::Copies, "copies"),
    (Space::Documents, "documents"),
];

const MEBIBYTE: u32 = 1024 * 1024;

/// What a start may have to read again. A journal stays until every space that wrote to it has been flushed; spaces that
/// are rarely written are flushed only when half of this is reached, and at the whole of it every commit has to wait.
const MAX_JOURNAL_BYTES: u64 = 256 * 1024 * 1024;

impl Space {
    /// Bytes of changes after which a space is flushed: they are taken smaller where changes are, so that the spaces of
    /// one message are flushed about equally often, and no journal has to stay for the sake of the slowest.
    fn memtable_bytes(self) -> u32 {
        match self {
            Space::Messages => 16 * MEBIBYTE,
            Space::Queues => 4 * MEBIBYTE,
            Space::Checkpoints | Space::Copies | Space::Documents => MEBIBYTE,
        }
    }
}

/// One change of a commit.
#[derive(Debug)]
pub(super) enum Change {
    Put(Space, Bytes, Bytes),
    Remove(Space, Bytes),
}

/// Where keys live.
pub(super) enum Backend {
    Disk { keyspace: Keyspace, partitions: Vec<PartitionHandle>, mode: PersistMode },
    Memory { spaces: [BTreeMap<Bytes, Bytes>; SPACES.len()], bytes: u64 },
}

impl Backend {
    pub(super) fn on_disk(folder: &Path, sync: bool) -> io::Result<Backend> {
        let keyspace = fjall::Config::new(folder)
            .flush_workers(1)
            .compaction_workers(1)
            .max_journaling_size(MAX_JOURNAL_BYTES)
            .open()
            .map_err(io::Error::other)?;
        let partitions = SPACES
            .iter()
            .map(|(space, name)| {
                let options = PartitionCreateOptions::default().max_memtable_size(space.memtable_bytes());
                keyspace.open_partition(name, options)
            })
            .collect::<Result<_, _>>()
            .map_err(io::Error::other)?;
        let mode = if sync { PersistMode::SyncData } else { PersistMode::Buffer };
        Ok(Backend::Disk { keyspace, partitions, mode })
    }

    pub(super) fn in_memory() -> Backend {
        Backend::Memory { spaces: Default::default(), bytes: 0 }
    }

    /// Bytes of keys and values held in memory; `None` on disk.
    pub(super) fn bytes_in_memory(&self) -> Option<u64> {
        match self {
            Backend::Disk { .. } => None,
            Backend::Memory { bytes, .. } => Some(*bytes),
        }
    }

    pub(super) fn get(&self, space: Space, key: &[u8]) -> io::Result<Option<Bytes>> {
        match self {
            Backend::Disk { partitions, .. } => {
                let value = partitions[space as usize].get(key).map_err(io::Error::other)?;
                Ok(value.map(|value| value.to_vec()))
            }
            Backend::Memory { spaces, .. } => Ok(spaces[space as usize].get(key).cloned()),
        }
    }

    /// Keys and values from `from` up to but not `to`, at most `limit`.
    pub(super) fn range(&self, space: Space, from: &[u8], to: &[u8], limit: usize) -> io::Result<Vec<(Bytes, Bytes)>> {
        match self {
            Backend::Disk { partitions, .. } => partitions[space as usize]
                .range(from..to)
                .take(limit)
                .map(|pair| pair.map(|(key, value)| (key.to_vec(), value.to_vec())).map_err(io::Error::other))
                .collect(),
            Backend::Memory { spaces, .. } => Ok(spaces[space as usize]
                .range(from.to_vec()..to.to_vec())
                .take(limit)
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect()),
        }
    }

    /// Passes by the keys from `from` up to but not `to`, in order.
    pub(super) fn each_key(
        &self,
        space: Space,
        from: &[u8],
        to: &[u8],
        mut visit: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        match self {
            Backend::Disk { partitions, .. } => {
                for pair in partitions[space as usize].range(from..to) {
                    visit(&pair.map_err(io::Error::other)?.0);
                }
            }
            Backend::Memory { spaces, .. } => {
                spaces[space as usize].range(from.to_vec()..to.to_vec()).for_each(|(key, _)| visit(key));
            }
        }
        Ok(())
    }

    pub(super) fn last(&self, space: Space) -> io::Result<Option<Bytes>> {
        match self {
            Backend::Disk { partitions, .. } => {
                let last = partitions[space as usize].last_key_value().map_err(io::Error::other)?;
                Ok(last.map(|(key, _)| key.to_vec()))
            }
            Backend::Memory { spaces, .. } => Ok(spaces[space as usize].keys().next_back().cloned()),
        }
    }

    pub(super) fn commit(&mut self, changes: Vec<Change>) -> io::Result<()> {
        match self {
            Backend::Disk { keyspace, partitions, mode } => {
                let mut batch = keyspace.batch().durability(Some(*mode));
                for change in changes {
                    match change {
                        Change::Put(space, key, value) => batch.insert(&partitions[space as usize], key, value),
                        Change::Remove(space, key) => batch.remove(&partitions[space as usize], key),
                    }
                }
                batch.commit().map_err(io::Error::other)
            }
            Backend::Memory { spaces, bytes } => {
                for change in changes {
                    let (space, key, value) = match change {
                        Change::Put(space, key, value) => (space, key, Some(value)),
                        Change::Remove(space, key) => (space, key, None),
                    };
                    let size = |key: &Bytes, value: &Bytes| (key.len() + value.len()) as u64;
                    let space = &mut spaces[space as usize];
                    *bytes -= space.get(&key).map_or(0, |old| size(&key, old));
                    match value {
                        Some(value) => {
                            *bytes += size(&key, &value);
                            space.insert(key, value);
                        }
                        None => {
                            space.remove(&key);
                        }
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::fmt::Debug for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Backend::Disk { .. } => "Disk",
            Backend::Memory { .. } => "Memory",
        })
    }
}
