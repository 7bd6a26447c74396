//! `DatagramBuffer`: received bytes that were not copied.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use mqvpn_kernel::buffer::Buffer;
use mqvpn_kernel::open::share_destination;
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PySlice};

use crate::border::guarded;

/// Datagrams back to back, in one buffer or several, each of which starts with a whole datagram.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct DatagramBuffer {
    content: Mutex<Content>,
    len: usize,
}

struct Content {
    chunks: Vec<Arc<Buffer>>,
    is_opened: bool,
}

#[pymethods]
impl DatagramBuffer {
    fn __len__(&self) -> usize {
        self.len
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        guarded(|| Ok(self.copy(py, 0, self.len)))
    }

    fn __getitem__<'py>(&self, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        guarded(|| {
            let py = key.py();
            if let Ok(slice) = key.cast::<PySlice>() {
                let len = isize::try_from(self.len)?;
                let found = slice.indices(len)?;
                if found.step != 1 {
                    return Err(PyValueError::new_err("only every byte"));
                }
                let start = usize::try_from(found.start)?;
                let stop = start.saturating_add(found.slicelength);
                return Ok(self.copy(py, start, stop).into_any());
            }
            let index: usize =
                key.extract().map_err(|_| PyTypeError::new_err("an index or a slice"))?;
            let byte = self.with_part(index, |part| part.first().copied());
            let byte = byte.flatten().ok_or_else(|| PyIndexError::new_err("beyond the end"))?;
            Ok(byte.into_pyobject(py)?.into_any())
        })
    }
}

impl DatagramBuffer {
    /// Takes buffers, each of which starts with a whole datagram.
    pub fn new(chunks: Vec<Buffer>) -> Self {
        let len =
            chunks.iter().fold(0_usize, |sum, chunk| sum.saturating_add(chunk.as_ref().len()));
        let chunks = chunks.into_iter().map(Arc::new).collect();
        Self { content: Mutex::new(Content { chunks, is_opened: false }), len }
    }

    /// Gives the bytes of all buffers to be opened in place, which is possible only once.
    pub fn open<T>(&self, work: impl FnOnce(Vec<&mut [u8]>) -> T) -> Option<(T, Vec<Arc<Buffer>>)> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        if mem::replace(&mut content.is_opened, true) {
            return None;
        }
        let slices: Option<Vec<&mut [u8]>> = content
            .chunks
            .iter_mut()
            .map(|chunk| Arc::get_mut(chunk).map(Buffer::as_mut_slice))
            .collect();
        let result = work(slices?);
        Some((result, content.chunks.clone()))
    }

    /// Tells whether all packets have short headers with the same connection ID.
    pub fn share_destination(&self, segment_len: usize, cid_len: usize) -> bool {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut chunks = content.chunks.iter().map(|chunk| (**chunk).as_ref());
        let Some(first) = chunks.next() else { return false };
        let cid = destination(first, cid_len);
        share_destination(first, segment_len, cid_len)
            && chunks.all(|chunk| {
                destination(chunk, cid_len) == cid && share_destination(chunk, segment_len, cid_len)
            })
    }

    /// Looks at the rest of the buffer that has the byte at an index.
    fn with_part<T>(&self, index: usize, look: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = index;
        for chunk in &content.chunks {
            let bytes = (**chunk).as_ref();
            if start < bytes.len() {
                return Some(look(bytes.get(start..).unwrap_or_default()));
            }
            start = start.saturating_sub(bytes.len());
        }
        None
    }

    fn copy<'py>(&self, py: Python<'py>, start: usize, stop: usize) -> Bound<'py, PyBytes> {
        let mut copied: Vec<u8> = Vec::with_capacity(stop.saturating_sub(start));
        let mut at = start;
        while at < stop {
            let wanted = stop.saturating_sub(at);
            let count = self.with_part(at, |part| {
                let part = part.get(..wanted).unwrap_or(part);
                copied.extend_from_slice(part);
                part.len()
            });
            let Some(count) = count else { break };
            at = at.saturating_add(count);
        }
        PyBytes::new(py, &copied)
    }
}

fn destination(packet: &[u8], cid_len: usize) -> Option<&[u8]> {
    packet.get(1..)?.get(..cid_len)
}
