//! Datagrams as they are read: from whom, how long, and those of one peer together.

use std::io::IoSliceMut;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mqvpn_kernel::buffer::Buffer;
use nix::cmsg_space;
use nix::libc::in6_pktinfo;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyTuple};

use crate::datagram_buffer::DatagramBuffer;

/// Most messages of one call.
pub const MAX_MESSAGES: usize = 32;
const ECN_MASK: u8 = 0b11;

/// Bytes of a message that is kept where it was read; a smaller one is copied to its neighbours.
const MIN_KEPT_LEN: usize = 16_384;
/// Bytes of a batch that is worth more than plain `bytes`.
const MIN_BATCH_LEN: usize = 8192;
/// Room of a buffer that small messages are copied to, in messages.
const FIRST_ROOM: usize = 4;

/// Remote address, port and scope, and our address, as Python has them; for sending as well.
pub type PeerKey = (Vec<u8>, u16, u32, Vec<u8>);

/// Reads what a socket has into buffers, one message each.
pub fn read_once(descriptor: i32, slots: &mut [Buffer]) -> nix::Result<Vec<Message>> {
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
pub struct Message {
    pub len: usize,
    pub segment_len: usize,
    pub is_useful: bool,
    pub origin: Origin,
}

/// Who sent a message, and to which of our addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Peer {
    host: Option<IpAddr>,
    port: u16,
    scope: u32,
    local: Option<IpAddr>,
}

impl Peer {
    /// Takes what stands for a peer in Python; nothing if an address has the wrong length.
    pub fn of((host, port, scope, local): &PeerKey) -> Option<Self> {
        let local = if local.is_empty() { None } else { Some(address(local)?) };
        Some(Self { host: Some(address(host)?), port: *port, scope: *scope, local })
    }
}

/// Where messages came from and how: what those of a batch share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    pub peer: Peer,
    pub ecn: u8,
}

impl Message {
    /// Returns how many datagrams it is.
    pub fn count(&self) -> usize {
        self.len.div_ceil(self.segment_len.max(1))
    }

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

/// Datagrams of one origin, of one length but the last.
pub struct Batch {
    origin: Origin,
    segment_len: usize,
    chunks: Vec<Buffer>,
    len: usize,
    /// A shorter datagram was the last one.
    is_full: bool,
}

impl Batch {
    /// Takes the message in a buffer, and the buffer itself if that is worth it.
    pub fn new(message: &Message, slot: &mut Buffer) -> Self {
        let (origin, segment_len) = (message.origin, message.segment_len);
        let mut batch = Self { origin, segment_len, chunks: Vec::new(), len: 0, is_full: false };
        batch.add(message, slot);
        batch
    }

    /// A single shorter datagram may be the last of a batch.
    pub fn takes(&self, message: &Message) -> bool {
        !self.is_full
            && self.origin == message.origin
            && (message.segment_len == self.segment_len
                || (message.len == message.segment_len && message.len < self.segment_len))
    }

    /// Adds what belongs here, to whose datagrams [`Batch::takes`] agreed.
    pub fn add(&mut self, message: &Message, slot: &mut Buffer) {
        self.len = self.len.saturating_add(message.len);
        self.is_full = message.len.checked_rem(self.segment_len) != Some(0);
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

    /// Makes what Python gets: who, the bytes, the length of each datagram but the last, and ECN.
    pub fn into_read(self, py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
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

/// Takes an address apart that Python has packed.
pub fn address(packed: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(packed) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(packed).ok().map(|octets| Ipv6Addr::from(octets).into())
}

fn packed(py: Python<'_>, address: Option<IpAddr>) -> Bound<'_, PyBytes> {
    match address {
        None => PyBytes::new(py, &[]),
        Some(IpAddr::V4(address)) => PyBytes::new(py, &address.octets()),
        Some(IpAddr::V6(address)) => PyBytes::new(py, &address.octets()),
    }
}
