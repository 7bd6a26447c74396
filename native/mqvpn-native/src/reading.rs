//! `DatagramReader`: many datagrams from a socket with one system call.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use mqvpn_kernel::buffer::{Buffer, Pool};
use nix::errno::Errno;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::border::guarded;
use crate::datagrams::{Batch, MAX_MESSAGES, Message, Peer, read_once};

/// Reads datagrams in batches; owns the room they are read into.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct DatagramReader {
    slots: Mutex<Vec<Buffer>>,
    pool: Pool,
}

#[pymethods]
impl DatagramReader {
    #[new]
    fn new() -> Self {
        Self { slots: Mutex::default(), pool: Pool::default() }
    }

    /// Read until nothing is left or it is enough; return what came, how many messages were of no
    /// use, and the errors that the socket had to report in between.
    fn read<'py>(
        &self,
        py: Python<'py>,
        descriptor: i32,
        max_messages: usize,
        max_bytes: usize,
    ) -> PyResult<(Bound<'py, PyList>, usize, Vec<i32>)> {
        guarded(|| {
            let mut batches = Batches::default();
            let mut errors = Vec::new();
            let mut unusable: usize = 0;
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let mut left = max_messages;
            while left > 0 && batches.len < max_bytes {
                let count = left.min(MAX_MESSAGES);
                slots.resize_with(MAX_MESSAGES, Buffer::default);
                let used = slots.get_mut(..count).unwrap_or_default();
                for slot in used.iter_mut().filter(|slot| slot.has_no_room()) {
                    *slot = self.pool.take();
                }
                match read_once(descriptor, used) {
                    Ok(messages) => {
                        for (slot, message) in slots.iter_mut().zip(&messages) {
                            if message.is_useful {
                                batches.take(message, slot);
                            } else {
                                unusable = unusable.saturating_add(1);
                            }
                        }
                        if messages.len() < count {
                            break;
                        }
                        left = left.saturating_sub(messages.len());
                    }
                    Err(Errno::EAGAIN) => break,
                    Err(error @ (Errno::EBADF | Errno::ENOTSOCK | Errno::EFAULT)) => {
                        let error = io::Error::from(error);
                        return Err(PyOSError::new_err((error.raw_os_error(), error.to_string())));
                    }
                    Err(error) => {
                        errors.push(io::Error::from(error).raw_os_error().unwrap_or_default());
                        left = left.saturating_sub(1);
                    }
                }
            }
            drop(slots);
            let list = PyList::empty(py);
            for batch in batches.found {
                list.append(batch.into_read(py)?)?;
            }
            Ok((list, unusable, errors))
        })
    }
}

/// What was read, by where it came from.
#[derive(Default)]
struct Batches {
    found: Vec<Batch>,
    /// The last batch of each peer.
    growing: HashMap<Peer, usize>,
    /// Bytes of all.
    len: usize,
}

impl Batches {
    /// Takes the message in a buffer, and the buffer itself if that is worth it.
    ///
    /// The order of the datagrams of a peer stays; among peers it means nothing.
    fn take(&mut self, message: &Message, slot: &mut Buffer) {
        self.len = self.len.saturating_add(message.len);
        slot.set_len(message.len);
        let peer = message.origin.peer;
        let position = self.growing.get(&peer).copied();
        let batch = position.and_then(|position| self.found.get_mut(position));
        if let Some(batch) = batch.filter(|batch| batch.takes(message)) {
            batch.add(message, slot);
            return;
        }
        self.growing.insert(peer, self.found.len());
        self.found.push(Batch::new(message, slot));
    }
}
