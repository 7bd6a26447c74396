//! `DatagramReader`: many datagrams from a socket with one system call.

use std::io::{self, IoSliceMut};
use std::net::IpAddr;
use std::ops::Range;
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

/// Most messages of one call.
const MAX_MESSAGES: usize = 32;
/// Room for one message: what the kernel joins has at most 64 KiB. Not a power of two, so that the
/// starts of messages do not compete for the same places of the processor's caches.
const MESSAGE_LEN: usize = 67_520;
const ECN_MASK: u8 = 0b11;

/// Reads datagrams in batches; owns the room they are read into.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct DatagramReader {
    room: Mutex<Vec<u8>>,
}

#[pymethods]
impl DatagramReader {
    #[new]
    fn new() -> Self {
        let room = vec![0; MAX_MESSAGES.saturating_mul(MESSAGE_LEN)];
        Self { room: Mutex::new(room) }
    }

    /// Read once; return what came, how many messages that were, and how many were of no use.
    fn read<'py>(
        &self,
        py: Python<'py>,
        descriptor: i32,
        max_messages: usize,
    ) -> PyResult<(Bound<'py, PyList>, usize, usize)> {
        guarded(|| {
            let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
            let count = max_messages.min(MAX_MESSAGES);
            let control = cmsg_space!(in6_pktinfo, i32, i32);
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(count, Some(control));
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                room.chunks_mut(MESSAGE_LEN).map(|part| [IoSliceMut::new(part)]).collect();
            let slices = slices.iter_mut().take(count);
            let read =
                match recvmmsg(descriptor, &mut headers, slices, MsgFlags::MSG_DONTWAIT, None) {
                    Ok(messages) => {
                        let mut read = Vec::with_capacity(count);
                        read.extend(messages.map(|message| Message::of(&message)));
                        read
                    }
                    Err(Errno::EAGAIN) => Vec::new(),
                    Err(error) => {
                        let error = io::Error::from(error);
                        return Err(PyOSError::new_err((error.raw_os_error(), error.to_string())));
                    }
                };
            let useful: Vec<(usize, Message)> =
                read.iter().copied().enumerate().filter(|(_, message)| message.is_useful).collect();
            let list = PyList::empty(py);
            for batch in batches(&useful) {
                let Some(messages) = useful.get(batch) else { continue };
                list.append(make_read(py, messages, &room)?)?;
            }
            Ok((list, read.len(), read.len().saturating_sub(useful.len())))
        })
    }
}

/// What is known of a message besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    len: usize,
    segment_len: usize,
    is_useful: bool,
    origin: Origin,
}

/// Where messages came from and how: what those of a batch share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Origin {
    host: Option<IpAddr>,
    port: u16,
    scope: u32,
    local: Option<IpAddr>,
    ecn: u8,
}

impl Message {
    fn of(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Self {
        let mut origin = Origin::default();
        if let Some(address) = &message.address {
            if let Some(v4) = address.as_sockaddr_in() {
                (origin.host, origin.port) = (Some(v4.ip().into()), v4.port());
            } else if let Some(v6) = address.as_sockaddr_in6() {
                (origin.host, origin.port) = (Some(v6.ip().into()), v6.port());
                origin.scope = v6.scope_id();
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
                    origin.local = Some(info.ipi_spec_dst.s_addr.to_ne_bytes().into());
                }
                ControlMessageOwned::Ipv6PacketInfo(info) => {
                    origin.local = Some(info.ipi6_addr.s6_addr.into());
                }
                _ => {}
            }
        }
        let is_useful = message.bytes > 0
            && segment_len > 0
            && !message.flags.contains(MsgFlags::MSG_TRUNC)
            && origin.host.is_some();
        Self { len: message.bytes, segment_len, is_useful, origin }
    }

    /// Nothing can stand behind it in its batch.
    fn ends_batch(&self) -> bool {
        self.len.checked_rem(self.segment_len) != Some(0)
    }
}

/// Finds messages in a row that are one batch: of one origin, with segments of one size of which
/// only the very last is shorter.
fn batches(messages: &[(usize, Message)]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut open: Option<&Message> = None;
    for (index, (_, message)) in messages.iter().enumerate() {
        let next = index.saturating_add(1);
        if let (Some(first), Some(batch)) = (open, found.last_mut())
            && first.origin == message.origin
            && (message.segment_len == first.segment_len
                || (message.len == message.segment_len && message.len < first.segment_len))
        {
            batch.end = next;
            if message.len.checked_rem(first.segment_len) != Some(0) {
                open = None;
            }
            continue;
        }
        found.push(index..next);
        open = (!message.ends_batch()).then_some(message);
    }
    found
}

fn make_read<'py>(
    py: Python<'py>,
    messages: &[(usize, Message)],
    room: &[u8],
) -> PyResult<Bound<'py, PyTuple>> {
    let total = messages.iter().fold(0_usize, |sum, (_, message)| sum.saturating_add(message.len));
    let data = PyBytes::new_with(py, total, |to| {
        let mut rest = to;
        for (slot, message) in messages {
            let from = room.get(slot.saturating_mul(MESSAGE_LEN)..).unwrap_or_default();
            let Some((here, behind)) = rest.split_at_mut_checked(message.len) else { break };
            here.copy_from_slice(from.get(..message.len).unwrap_or_default());
            rest = behind;
        }
        Ok(())
    })?;
    let origin = messages.first().map(|(_, message)| message.origin).unwrap_or_default();
    let segment_len = messages.first().map_or(0, |(_, message)| message.segment_len);
    let key = (packed(py, origin.host), origin.port, origin.scope, packed(py, origin.local));
    (key, data, segment_len, origin.ecn).into_pyobject(py)
}

fn packed(py: Python<'_>, address: Option<IpAddr>) -> Bound<'_, PyBytes> {
    match address {
        None => PyBytes::new(py, &[]),
        Some(IpAddr::V4(address)) => PyBytes::new(py, &address.octets()),
        Some(IpAddr::V6(address)) => PyBytes::new(py, &address.octets()),
    }
}
