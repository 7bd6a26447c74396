//! `FrameReader`: all that a TUN device has, with one call; and the only way to its descriptor.

use std::io::IoSlice;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use mqvpn_kernel::chain::split_frames;
use mqvpn_kernel::frame_room::FrameRoom;
use mqvpn_kernel::frames::Content;
use mqvpn_kernel::join::Frame;
use nix::errno::Errno;
use nix::sys::uio::writev;
use nix::unistd::read;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::border::{guarded, number_of};
use crate::trains::PacketTrain;

/// What was read: packets and trains, how many packets and bytes, and the error that ended it.
type Read<'py> = (Bound<'py, PyList>, usize, usize, i32);

/// Reads frames of a TUN device in batches; owns the room they are read into.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct FrameReader {
    frames: Mutex<FrameRoom>,
}

#[pymethods]
impl FrameReader {
    #[new]
    fn new() -> Self {
        Self { frames: Mutex::default() }
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
                let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
                let (_, _, error) = read_frames(&mut frames, max_frames, max_bytes, |slot| {
                    with_device(descriptor, |device| read_one(device, slot))
                });
                (split_frames(frames.finish()), error)
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

/// Reads until nothing is left or it is enough; returns how many frames and bytes that is, and an
/// error or 0.
pub fn read_frames(
    frames: &mut FrameRoom,
    max_frames: usize,
    max_bytes: usize,
    read_frame: impl Fn(&mut [u8]) -> nix::Result<usize>,
) -> (usize, usize, i32) {
    let (mut count, mut bytes): (usize, usize) = (0, 0);
    while count < max_frames && bytes < max_bytes {
        match read_frame(frames.slot()) {
            Ok(len) => {
                frames.take(len);
                count = count.saturating_add(1);
                bytes = bytes.saturating_add(len);
            }
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break,
            Err(error) => return (count, bytes, number_of(error)),
        }
    }
    (count, bytes, 0)
}

/// Reads one frame.
pub fn read_one(device: BorrowedFd<'_>, room: &mut [u8]) -> nix::Result<usize> {
    read(device, room)
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
