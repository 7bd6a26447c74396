//! Buffers that are used again: what is read from sockets and devices stays where it is.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// Room for one message: what the kernel joins has at most 64 KiB. Not a power of two, so that the
/// starts of messages do not compete for the same places of the processor's caches.
pub const BUFFER_LEN: usize = 67_520;
/// Buffers that wait to be used again, at most; beyond that memory is given back.
const MAX_KEPT: usize = 32;

/// Where buffers are while nobody needs them. The one given back last is the first to be used
/// again: the processor still has it in its caches.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// Takes a buffer, whatever is in it.
    #[must_use]
    pub fn take(&self) -> Buffer {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = kept.unwrap_or_else(|| vec![0; BUFFER_LEN]);
        Buffer { bytes, len: 0, pool: Some(self.clone()) }
    }
}

/// Received bytes; a buffer of a pool goes back there at the end. One without room is no buffer yet.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    pool: Option<Pool>,
}

impl Buffer {
    /// Takes a copy of some bytes, with room for more.
    #[must_use]
    pub fn copy_of(bytes: &[u8], room: usize) -> Self {
        let mut copy = Vec::with_capacity(room.max(bytes.len()));
        copy.extend_from_slice(bytes);
        Self { len: copy.len(), bytes: copy, pool: None }
    }

    /// It is no buffer yet, or none any more.
    #[must_use]
    pub fn has_no_room(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns all room, to be read into.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Says how much of the room is used.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.bytes.len());
    }

    /// Adds bytes if the buffer does not become longer than any other; tells whether it did.
    pub fn append(&mut self, more: &[u8]) -> bool {
        let Some(end) = self.len.checked_add(more.len()).filter(|end| *end <= BUFFER_LEN) else {
            return false;
        };
        if let Some(room) = self.bytes.get_mut(self.len..end) {
            room.copy_from_slice(more);
        } else {
            self.bytes.truncate(self.len);
            self.bytes.extend_from_slice(more);
        }
        self.len = end;
        true
    }

    /// Returns the bytes, to be changed where they are.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            let mut kept = pool.0.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < MAX_KEPT {
                kept.push(mem::take(&mut self.bytes));
            }
        }
    }
}
