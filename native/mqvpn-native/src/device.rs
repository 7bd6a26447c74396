//! `FrameReader`: all that a TUN device has, with one call; and the only way to its descriptor.

use std::io::{IoSlice, IoSliceMut};
use std::mem;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, PoisonError};

use mqvpn_kernel::chain::split_frames;
use mqvpn_kernel::frames::Content;
use mqvpn_kernel::join::Frame;
use mqvpn_kernel::train::Shared;
use nix::errno::Errno;
use nix::sys::uio::{readv, writev};
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
    room: Mutex<FrameRoom>,
}

#[pymethods]
impl FrameReader {
    #[new]
    fn new() -> Self {
        Self { room: Mutex::default() }
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
                let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
                let (frames, error) = room.read_frames(max_frames, max_bytes, |slot| {
                    with_device(descriptor, |device| read_one(device, slot))
                });
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

/// Where frames are read into.
#[derive(Default)]
pub struct FrameRoom {
    slot: Buffer,
    pool: Pool,
}

impl FrameRoom {
    /// Reads until nothing is left or it is enough; returns frames, and an error or 0.
    pub fn read_frames(
        &mut self,
        max_frames: usize,
        max_bytes: usize,
        read: impl Fn(&mut [u8]) -> nix::Result<usize>,
    ) -> (Vec<Shared>, i32) {
        let slot = &mut self.slot;
        let mut frames: Vec<Shared> = Vec::new();
        let mut bytes: usize = 0;
        while frames.len() < max_frames && bytes < max_bytes {
            if slot.has_no_room() {
                *slot = self.pool.take();
            }
            match read(slot.room()) {
                Ok(len) => {
                    slot.set_len(len);
                    bytes = bytes.saturating_add(len);
                    frames.push(if len < MIN_KEPT_LEN {
                        Arc::new(Buffer::copy_of((*slot).as_ref(), 0))
                    } else {
                        Arc::new(mem::take(slot))
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

/// Reads one frame.
pub fn read_one(device: BorrowedFd<'_>, room: &mut [u8]) -> nix::Result<usize> {
    readv(device, &mut [IoSliceMut::new(room)])
}

/// Writes one frame, from where its parts are.
pub fn write_frame(device: BorrowedFd<'_>, frame: &Frame<'_>) -> nix::Result<usize> {
    let front = frame.front();
    let mut parts = Vec::with_capacity(frame.packet_count().saturating_add(1));
    parts.push(IoSlice::new(front.as_bytes()));
    parts.extend(frame.bodies().iter().map(|body| IoSlice::new(body)));
    loop {
        match writev(device, &parts) {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
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
    // SAFETY: the descriptor is not -1, and who owns it, `TunDevice` or `UdpSocket`, closes it only
    // in the thread that makes this call, so that it stays open during the call. No memory depends
    // on it: one that were closed all the same could only make the call fail or go elsewhere.
    work(unsafe { BorrowedFd::borrow_raw(descriptor) })
}
