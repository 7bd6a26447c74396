//! `FrameReader`: all that a TUN device has, with one call; and the only way to its descriptor.

use std::io::IoSliceMut;
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use mqvpn_kernel::chain::split_frames;
use mqvpn_kernel::frames::Content;
use mqvpn_kernel::train::Shared;
use nix::errno::Errno;
use nix::sys::uio::readv;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::border::{guarded, number_of};
use crate::buffers::{Buffer, Pool};
use crate::trains::PacketTrain;

/// Bytes of a frame that is kept where it was read; a smaller one is copied, so that many of them
/// do not need a large buffer each.
const MIN_KEPT_LEN: usize = 16_384;

/// What was read: packets and trains, how many packets and bytes, and the error that ended it.
type Read<'py> = (Bound<'py, PyList>, usize, usize, i32);

/// Reads frames of a TUN device in batches; owns the room they are read into.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct FrameReader {
    slot: Mutex<Buffer>,
    pool: Pool,
}

#[pymethods]
impl FrameReader {
    #[new]
    fn new() -> Self {
        Self { slot: Mutex::default(), pool: Pool::default() }
    }

    /// Read until nothing is left or it is enough, and take the frames apart.
    ///
    /// Returns packets and trains, how many packets and bytes they are, and an error or 0.
    fn read<'py>(
        &self,
        py: Python<'py>,
        descriptor: i32,
        max_frames: usize,
        max_bytes: usize,
    ) -> PyResult<Read<'py>> {
        guarded(|| {
            let (contents, error) = py.detach(|| {
                let (frames, error) = self.read_frames(descriptor, max_frames, max_bytes);
                (split_frames(&frames), error)
            });
            let list = PyList::empty(py);
            let (mut packets, mut bytes): (usize, usize) = (0, 0);
            for content in contents {
                match content {
                    Content::Packet(packet) => {
                        packets = packets.saturating_add(1);
                        bytes = bytes.saturating_add(packet.len());
                        list.append(PyBytes::new(py, &packet))?;
                    }
                    Content::Train(train) => {
                        packets = packets.saturating_add(train.len());
                        bytes = bytes.saturating_add(train.total_len());
                        list.append(Bound::new(py, PacketTrain { train })?)?;
                    }
                }
            }
            Ok((list, packets, bytes, error))
        })
    }
}

impl FrameReader {
    fn read_frames(
        &self,
        descriptor: i32,
        max_frames: usize,
        max_bytes: usize,
    ) -> (Vec<Shared>, i32) {
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frames: Vec<Shared> = Vec::new();
        let mut bytes: usize = 0;
        while frames.len() < max_frames && bytes < max_bytes {
            if slot.has_no_room() {
                *slot = self.pool.take();
            }
            match read_one(descriptor, slot.room()) {
                Ok(len) => {
                    slot.set_len(len);
                    bytes = bytes.saturating_add(len);
                    frames.push(if len < MIN_KEPT_LEN {
                        Arc::new(Buffer::copy_of((*slot).as_ref(), 0))
                    } else {
                        Arc::new(mem::take(&mut *slot))
                    });
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(error) => return (frames, number_of(error)),
            }
        }
        (frames, 0)
    }
}

fn read_one(descriptor: i32, room: &mut [u8]) -> nix::Result<usize> {
    let mut parts = [IoSliceMut::new(room)];
    with_device(descriptor, |device| readv(device, &mut parts))
}

/// The one place where nothing vouches for a descriptor but its caller.
#[allow(unsafe_code)]
pub fn with_device<T>(
    descriptor: i32,
    work: impl FnOnce(BorrowedFd<'_>) -> nix::Result<T>,
) -> nix::Result<T> {
    if descriptor < 0 {
        return Err(Errno::EBADF);
    }
    // SAFETY: the descriptor is not -1, and `TunDevice`, which owns it, closes it only in the thread
    // that makes this call, so that it stays open during the call. No memory depends on it: a
    // descriptor that were closed all the same could only make the call fail or go elsewhere.
    work(unsafe { BorrowedFd::borrow_raw(descriptor) })
}
