//! Buffers that are used again: what is read from sockets and devices stays where it is.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// Room for one message: what the kernel joins has at most 64 KiB. Not a power of two, so that the
/// starts of messages do not compete for the same places of the processor's caches.
pub const BUFFER_LEN: usize = 67_520;
/// Buffers that wait to be used again, at most, when few are in use; beyond that memory is given back.
const MIN_KEPT: usize = 32;
/// And when many are: a sender with two paths has what fits into 20 ms, until it is acknowledged.
const MAX_KEPT: usize = 256;

/// Where buffers are while nobody needs them. The one given back last is the first to be used
/// again: the processor still has it in its caches.
#[derive(Clone, Default)]
pub struct Pool(Arc<Mutex<Shelf>>);

#[derive(Default)]
struct Shelf {
    kept: Vec<Vec<u8>>,
    /// Buffers in use.
    taken: usize,
}

impl Pool {
    /// Takes a buffer, whatever is in it.
    #[must_use]
    pub fn take(&self) -> Buffer {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.taken = shelf.taken.saturating_add(1);
        let kept = shelf.kept.pop();
        drop(shelf);
        let bytes = kept.unwrap_or_else(|| vec![0; BUFFER_LEN]);
        Buffer { bytes, len: 0, pool: Some(self.clone()) }
    }

    /// Keeps as many buffers as are in use, so that those of a load do not have to be made again
    /// and again, and half of them go when it ends.
    fn put_back(&self, bytes: Vec<u8>) {
        let mut shelf = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.taken = shelf.taken.saturating_sub(1);
        if shelf.kept.len() < shelf.taken.clamp(MIN_KEPT, MAX_KEPT) {
            shelf.kept.push(bytes);
        }
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
            pool.put_back(mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many buffers wait after so many have been in use at once.
    fn kept_after(count: usize) -> usize {
        let pool = Pool::default();
        drop((0..count).map(|_| pool.take()).collect::<Vec<_>>());
        pool.0.lock().unwrap().kept.len()
    }

    #[test]
    fn some_buffers_are_kept_of_many_half() {
        assert_eq!([1, 32, 40, 64].map(kept_after), [1, 32, 32, 32]);
        assert_eq!([200, 1000].map(kept_after), [100, 256]);
    }

    #[test]
    fn under_load_none_has_to_be_made_again() {
        let pool = Pool::default();
        let mut held: Vec<_> = (0..200).map(|_| pool.take()).collect();
        held.drain(..100);
        let known: Vec<_> = pool.0.lock().unwrap().kept.iter().map(Vec::as_ptr).collect();
        for _ in 0..100 {
            let mut buffer = pool.take();
            assert!(known.contains(&buffer.room().as_ptr()));
            held.push(buffer);
        }
    }

    #[test]
    fn the_one_given_back_last_is_used_first() {
        let pool = Pool::default();
        let [mut one, two] = [pool.take(), pool.take()];
        let start = one.room().as_ptr();
        drop(two);
        drop(one);
        assert_eq!(pool.take().room().as_ptr(), start);
    }
}
