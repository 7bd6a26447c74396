//! `DatagramReader`: many datagrams from a socket with one system call.

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg,
};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::border::guarded;
use crate::buffers::{Buffer, DatagramBuffer, Pool};

/// Most messages of one call.
const MAX_MESSAGES: usize = 32;
const ECN_MASK: u8 = 0b11;

/// Bytes of a message that is kept where it was read; a smaller one is copied to its neighbours.
const MIN_KEPT_LEN: usize = 16_384;
/// Bytes of a batch that is worth more than plain `bytes`.
const MIN_BATCH_LEN: usize = 8192;
/// Room of a buffer that small messages are copied to, in messages.
const FIRST_ROOM: usize = 4;

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

/// Reads what a socket has into buffers, one message each.
fn read_once(descriptor: i32, slots: &mut [Buffer]) -> nix::Result<Vec<Message>> {
    let control = cmsg_space!(in6_pktinfo, i32, i32);
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(slots.len(), Some(control));
    let mut slices: Vec<[IoSliceMut<'_>; 1]> =
        slots.iter_mut().map(|slot| [IoSliceMut::new(slot.room())]).collect();
    let messages =
        recvmmsg(descriptor, &mut headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None)?;
    Ok(messages.map(|message| Message::of(&message)).collect())
}

/// What is known of a message besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    len: usize,
    segment_len: usize,
    is_useful: bool,
    origin: Origin,
}

/// Who sent a message, and to which of our addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Peer {
    host: Option<IpAddr>,
    port: u16,
    scope: u32,
    local: Option<IpAddr>,
}

/// Where messages came from and how: what those of a batch share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Origin {
    peer: Peer,
    ecn: u8,
}

impl Message {
    fn of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Self {
        let mut origin = Origin::default();
        if let Some(address) = &message.address {
            if let Some(v4) = address.as_sockaddr_in() {
                (origin.peer.host, origin.peer.port) = (Some(v4.ip().into()), v4.port());
            } else if let Some(v6) = address.as_sockaddr_in6() {
                (origin.peer.host, origin.peer.port) = (Some(v6.ip().into()), v6.port());
                origin.peer.scope = v6.scope_id();
            }
        }
        let mut segment_len = message.bytes;
        for control in message.cmsgs().into_iter().flatten() {
            match control {
                ControlMessageOwned::UdpGroSegments(len) => {
                    segment_len = usize::try_from(len).unwrap_or(segment_len);
                }
                ControlMessageOwned::Ipv4Tos(tos) => origin.ecn = tos & ECN_MASK,
                ControlMessageOwned::Ipv6TClass(class) => {
                    let [.., lowest] = class.to_be_bytes();
                    origin.ecn = lowest & ECN_MASK;
                }
                ControlMessageOwned::Ipv4PacketInfo(info) => {
                    origin.peer.local = Some(info.ipi_spec_dst.s_addr.to_ne_bytes().into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    origin.peer.local = Some(info.ipi6_addr.s6_addr.into());
                }
                _ => {}
            }
        }
        let is_useful = message.bytes > 0
            && segment_len > 0
            && !message.flags.contains(MsgFlags::MSG_TRUNC)
            && origin.peer.host.is_some();
        Self { len: message.bytes, segment_len, is_useful, origin }
    }
}

/// What was read, by where it came from.
#[derive(Default)]
struct Batches {
    found: Vec<Batch>,
    /// The batch of each peer that may still grow.
    growing: HashMap<Peer, usize>,
    /// Bytes of all.
    len: usize,
}

/// Datagrams of one origin, of one length but the last.
struct Batch {
    origin: Origin,
    segment_len: usize,
    chunks: Vec<Buffer>,
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
            if message.len.checked_rem(batch.segment_len) != Some(0) {
                self.growing.remove(&peer);
            }
            return;
        }
        let mut batch = Batch {
            origin: message.origin,
            segment_len: message.segment_len,
            chunks: Vec::new(),
            len: 0,
        };
        batch.add(message, slot);
        if message.len.checked_rem(message.segment_len) == Some(0) {
            self.growing.insert(peer, self.found.len());
        } else {
            self.growing.remove(&peer);
        }
        self.found.push(batch);
    }
}

impl Batch {
    /// A single shorter datagram may be the last of a batch.
    fn takes(&self, message: &Message) -> bool {
        self.origin == message.origin
            && (message.segment_len == self.segment_len
                || (message.len == message.segment_len && message.len < self.segment_len))
    }

    fn add(&mut self, message: &Message, slot: &mut Buffer) {
        self.len = self.len.saturating_add(message.len);
        if message.len >= MIN_KEPT_LEN {
            self.chunks.push(mem::take(slot));
            return;
        }
        let bytes = (*slot).as_ref();
        if !self.chunks.last_mut().is_some_and(|last| last.append(bytes)) {
            let room = bytes.len().saturating_mul(FIRST_ROOM);
            self.chunks.push(Buffer::copy_of(bytes, room));
        }
    }

    fn into_read(self, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        let Peer { host, port, scope, local } = self.origin.peer;
        let key = (packed(py, host), port, scope, packed(py, local));
        let data = match self.chunks.as_slice() {
            [only] if self.len < MIN_BATCH_LEN || self.len <= self.segment_len => {
                PyBytes::new(py, only.as_ref()).into_any()
            }
            _ => Bound::new(py, DatagramBuffer::new(self.chunks))?.into_any(),
        };
        (key, data, self.segment_len, self.origin.ecn).into_pyobject(py)
    }
}

fn packed(py: Python<'_>, address: Option<IpAddr>) -> Bound<'_, PyBytes> {
    match address {
        None => PyBytes::new(py, &[]),
        Some(IpAddr::V4(address)) => PyBytes::new(py, &address.octets()),
        Some(IpAddr::V6(address)) => PyBytes::new(py, &address.octets()),
    }
}
