//! Packets that travel together: one buffer and a rule where each packet is in it.

use std::sync::Arc;
use std::{iter, slice};

use crate::segment::{TCP, UDP, Version, get_u16, get_u32, set_u16, set_u32};

/// Bytes that several trains share.
pub type Shared = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Longest headers that a super-packet may have.
pub const MAX_HEADERS: usize = 128;

const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const UDP_CHECKSUM: usize = 6;
const FIN_AND_PSH: u8 = 0x09;
const CWR: u8 = 0x80;

/// Packets of one kind in their order; all of one length but the last, which may be shorter.
#[derive(Clone)]
pub struct Train {
    links: Links,
    first: usize,
    count: usize,
}

#[derive(Clone)]
enum Links {
    One(Link),
    Many(Arc<Vec<Link>>),
}

/// Packets in one buffer.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) bytes: Shared,
    pub(crate) shape: Shape,
    /// How many packets are in front of these.
    before: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    Super(SuperPacket),
    Equal(Equal),
}

/// A packet of TCP or UDP larger than any link takes, to be split (TSO, USO).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SuperPacket {
    /// Where the packet starts.
    pub(crate) start: usize,
    pub(crate) version: Version,
    pub(crate) protocol: u8,
    /// Length of the IP header.
    pub(crate) ip_len: usize,
    /// Length of both headers.
    pub(crate) header_len: usize,
    /// Payload of each packet but the last.
    pub(crate) segment_len: usize,
    /// Payload of all packets.
    pub(crate) payload_len: usize,
}

impl SuperPacket {
    pub(crate) fn count(&self) -> usize {
        self.payload_len.div_ceil(self.segment_len.max(1))
    }
}

/// Packets in a buffer at equal distances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Equal {
    /// Where the first packet starts.
    pub start: usize,
    /// From the start of one packet to that of the next.
    pub stride: usize,
    /// Length of each packet but the last.
    pub len: usize,
    /// Length of the last packet.
    pub last_len: usize,
    /// How many packets.
    pub count: usize,
}

/// One packet of a train, in two parts.
pub struct PacketParts<'a> {
    head: [u8; MAX_HEADERS],
    head_len: usize,
    body: &'a [u8],
}

impl PacketParts<'_> {
    /// Returns what was made for this packet; may be empty.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.head.get(..self.head_len).unwrap_or_default()
    }

    /// Returns what stands in the buffer of the train.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body
    }

    /// Copies the packet.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        [self.head(), self.body].concat()
    }
}

impl Shape {
    fn count(&self) -> usize {
        match self {
            Self::Super(packet) => packet.count(),
            Self::Equal(equal) => equal.count,
        }
    }

    fn packet_len(&self, index: usize) -> usize {
        match self {
            Self::Super(packet) => {
                let before = index.saturating_mul(packet.segment_len);
                let payload = packet.payload_len.saturating_sub(before).min(packet.segment_len);
                packet.header_len.saturating_add(payload)
            }
            Self::Equal(equal) => equal.packet_len(index),
        }
    }
}

impl Link {
    fn stripped(&self, count: usize) -> Option<Self> {
        let Shape::Equal(equal) = &self.shape else { return None };
        let shape = Shape::Equal(Equal {
            start: equal.start.checked_add(count)?,
            len: equal.len.checked_sub(count)?,
            last_len: equal.last_len.checked_sub(count)?,
            ..*equal
        });
        Some(Self { bytes: Arc::clone(&self.bytes), shape, before: self.before })
    }

    fn whole(&self, index: usize) -> Option<&[u8]> {
        let Shape::Equal(equal) = &self.shape else { return None };
        equal.packet((*self.bytes).as_ref(), index)
    }
}

impl Equal {
    /// Returns the length of one packet.
    #[must_use]
    pub fn packet_len(&self, index: usize) -> usize {
        if index.saturating_add(1) == self.count { self.last_len } else { self.len }
    }

    /// Returns the bytes of all packets.
    #[must_use]
    pub fn total_len(&self) -> usize {
        match self.count.checked_sub(1) {
            None => 0,
            Some(others) => self.len.saturating_mul(others).saturating_add(self.last_len),
        }
    }

    /// Returns one packet, given the buffer.
    #[must_use]
    pub fn packet<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let start = index.checked_mul(self.stride)?.checked_add(self.start)?;
        bytes.get(start..)?.get(..self.packet_len(index))
    }
}

impl Train {
    fn from_link(bytes: Shared, shape: Shape) -> Self {
        Self { links: Links::One(Link { bytes, shape, before: 0 }), first: 0, count: shape.count() }
    }

    pub(crate) fn from_super_packet(bytes: Shared, packet: SuperPacket) -> Self {
        Self::from_link(bytes, Shape::Super(packet))
    }

    /// Takes packets that lie in a buffer at equal distances.
    #[must_use]
    pub fn from_equal(bytes: Shared, equal: Equal) -> Self {
        Self::from_link(bytes, Shape::Equal(equal))
    }

    pub(crate) fn links(&self) -> &[Link] {
        match &self.links {
            Links::One(link) => slice::from_ref(link),
            Links::Many(links) => links,
        }
    }

    /// Adds the packets of another whole train behind those of this one, which are all of one length.
    pub fn append(&mut self, other: &Self) {
        let count = self.count;
        let shifted = other
            .links()
            .iter()
            .cloned()
            .map(|link| Link { before: link.before.saturating_add(count), ..link });
        match &mut self.links {
            Links::One(link) => {
                let links = iter::once(link.clone()).chain(shifted).collect();
                self.links = Links::Many(Arc::new(links));
            }
            Links::Many(links) => Arc::make_mut(links).extend(shifted),
        }
        self.count = count.saturating_add(other.count);
    }

    /// Finds where a packet is.
    fn locate(&self, index: usize) -> Option<(&Link, usize)> {
        if index >= self.count {
            return None;
        }
        let at = self.first.checked_add(index)?;
        let link = match &self.links {
            Links::One(link) => link,
            Links::Many(links) => {
                links.get(links.partition_point(|link| link.before <= at).checked_sub(1)?)?
            }
        };
        Some((link, at.checked_sub(link.before)?))
    }

    /// Returns how many packets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// There is no packet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns the length of one packet; 0 beyond the last.
    #[must_use]
    pub fn packet_len(&self, index: usize) -> usize {
        self.locate(index).map_or(0, |(link, at)| link.shape.packet_len(at))
    }

    /// Returns the bytes of all packets.
    #[must_use]
    pub fn total_len(&self) -> usize {
        match self.count.checked_sub(1) {
            None => 0,
            Some(last) => {
                self.packet_len(0).saturating_mul(last).saturating_add(self.packet_len(last))
            }
        }
    }

    /// Returns some of the packets, without copying them.
    #[must_use]
    pub fn part(&self, start: usize, stop: usize) -> Self {
        let stop = stop.min(self.count);
        let start = start.min(stop);
        Self {
            links: self.links.clone(),
            first: self.first.saturating_add(start),
            count: stop.saturating_sub(start),
        }
    }

    /// Takes some bytes off the front of each packet; nothing where that is not possible.
    #[must_use]
    pub fn stripped(&self, count: usize) -> Option<Self> {
        let links = match &self.links {
            Links::One(link) => Links::One(link.stripped(count)?),
            Links::Many(links) => {
                let stripped: Option<Vec<Link>> =
                    links.iter().map(|link| link.stripped(count)).collect();
                Links::Many(Arc::new(stripped?))
            }
        };
        Some(Self { links, ..*self })
    }

    /// Makes one packet.
    #[must_use]
    pub fn packet(&self, index: usize) -> Option<PacketParts<'_>> {
        let (link, at) = self.locate(index)?;
        match &link.shape {
            Shape::Super(packet) => make_segment((*link.bytes).as_ref(), packet, at),
            Shape::Equal(_) => {
                Some(PacketParts { head: [0; MAX_HEADERS], head_len: 0, body: link.whole(at)? })
            }
        }
    }

    /// Returns the packet as it stands in the buffer, if it does.
    #[must_use]
    pub fn whole(&self, index: usize) -> Option<&[u8]> {
        let (link, at) = self.locate(index)?;
        link.whole(at)
    }

    /// Returns what the first packet starts with: its headers, perhaps those of a super-packet.
    #[must_use]
    pub fn leading(&self) -> Option<&[u8]> {
        let (link, at) = self.locate(0)?;
        match &link.shape {
            Shape::Super(packet) => (*link.bytes).as_ref().get(packet.start..),
            Shape::Equal(_) => link.whole(at),
        }
    }

    /// Returns source, destination and protocol if all packets have the same.
    ///
    /// Nothing also for a packet that has IPv4 options, a wrong length or no hops left.
    #[must_use]
    pub fn flow(&self) -> Option<Vec<u8>> {
        let link = self.links().first()?;
        if let Shape::Super(packet) = &link.shape {
            // All packets get their headers from this one, or from one of the same flow that has
            // hops left; its length says nothing.
            let header = (*link.bytes).as_ref().get(packet.start..)?;
            return flow_of(header).map(|flow| flow.concat());
        }
        let mut found: Option<[&[u8]; 2]> = None;
        for index in 0..self.count {
            let flow = whole_flow_of(self.whole(index)?)?;
            if found.is_some_and(|known| known != flow) {
                return None;
            }
            found = Some(flow);
        }
        found.map(|flow| flow.concat())
    }
}

pub(crate) fn flow_of(packet: &[u8]) -> Option<[&[u8]; 2]> {
    let (hops, flow) = match Version::of(packet)? {
        Version::V4 => (packet.get(8)?, [packet.get(12..20)?, packet.get(9..10)?]),
        Version::V6 => (packet.get(7)?, [packet.get(8..40)?, packet.get(6..7)?]),
    };
    (*hops != 0).then_some(flow)
}

/// Finds source, destination and protocol of a packet that is as long as it says.
pub(crate) fn whole_flow_of(packet: &[u8]) -> Option<[&[u8]; 2]> {
    let version = Version::of(packet)?;
    let len = match version {
        Version::V4 => usize::from(get_u16(packet, 2)?),
        Version::V6 => usize::from(get_u16(packet, 4)?).checked_add(version.header_len())?,
    };
    if len == packet.len() { flow_of(packet) } else { None }
}

/// Makes one packet out of a super-packet, as the kernel's segmentation does.
fn make_segment<'a>(
    bytes: &'a [u8],
    packet: &SuperPacket,
    index: usize,
) -> Option<PacketParts<'a>> {
    let before = index.checked_mul(packet.segment_len)?;
    let len = packet.payload_len.checked_sub(before)?.min(packet.segment_len);
    let (headers, payload) = bytes.get(packet.start..)?.split_at_checked(packet.header_len)?;
    let body = payload.get(before..)?.get(..len)?;
    let mut head = [0; MAX_HEADERS];
    let head_len = packet.header_len;
    let own = head.get_mut(..head_len)?;
    own.copy_from_slice(headers);
    let (ip, transport) = own.split_at_mut_checked(packet.ip_len)?;
    if packet.version == Version::V4 {
        let step = u16::try_from(index).ok()?;
        let identification = get_u16(ip, 4)?.wrapping_add(step);
        set_u16(ip, 4, identification)?;
    }
    packet.version.set_len(ip, head_len.checked_add(len)?)?;
    let transport_len = transport.len().checked_add(len)?;
    let checksum_at = match packet.protocol {
        TCP => {
            let sequence = get_u32(transport, 4)?.wrapping_add(u32::try_from(before).ok()?);
            set_u32(transport, 4, sequence)?;
            let flags = transport.get_mut(TCP_FLAGS)?;
            if before.checked_add(len)? < packet.payload_len {
                *flags &= !FIN_AND_PSH;
            }
            if index > 0 {
                *flags &= !CWR;
            }
            TCP_CHECKSUM
        }
        UDP => {
            set_u16(transport, 4, u16::try_from(transport_len).ok()?)?;
            UDP_CHECKSUM
        }
        _ => return None,
    };
    set_u16(transport, checksum_at, 0)?;
    let sum = packet.version.pseudo_header(ip, packet.protocol, transport_len)?;
    let mut checksum = sum.add(transport).add(body).checksum();
    if packet.protocol == UDP && checksum == [0, 0] {
        // RFC 768: zero says that there is none.
        checksum = [0xFF, 0xFF];
    }
    transport.get_mut(checksum_at..)?.get_mut(..2)?.copy_from_slice(&checksum);
    Some(PacketParts { head, head_len, body })
}
