//! Joins packets of a flow into super-packets for a TUN device (receive coalescing).
//!
//! Only packets whose checksums are right are joined, because the host takes a joined packet on
//! trust. What is joined can be split again without a difference, apart from the identification of
//! IPv4 packets that must not be fragmented (RFC 6864 s4.1).

use std::{iter, slice};

use crate::frames::{
    FRAME_HEADER_LEN, FrameHeader, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM,
};
use crate::segment::{Segment, TCP, Version, get_u16, get_u32, set_u16};
use crate::train::MAX_HEADERS;

/// Flows that are joined at a time; a further one takes the place of the oldest.
const MAX_OPEN: usize = 32;
const MAX_PACKET: usize = 65_535;
/// Room for what stands in front of the payloads of a frame.
const FRONT_LEN: usize = FRAME_HEADER_LEN + MAX_HEADERS;
const MAX_SEGMENTS: usize = 128;

const DONT_FRAGMENT: u8 = 0x40;
const TCP_FLAGS: usize = 13;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
const ECE: u8 = 0x40;

/// Joins packets; UDP only if the device takes it.
#[must_use]
pub fn join_packets<'a>(packets: &[&'a [u8]], joins_udp: bool) -> Vec<Frame<'a>> {
    let mut joiner = Joiner { frames: Vec::with_capacity(packets.len()), open: Vec::new() };
    for packet in packets {
        joiner.take(packet, joins_udp);
    }
    joiner.frames
}

struct Joiner<'a> {
    frames: Vec<Frame<'a>>,
    /// Which of them still take packets; the one used last is at the end.
    open: Vec<usize>,
}

/// A frame that is to be written: a packet, or several of one flow.
pub struct Frame<'a>(Content<'a>);

enum Content<'a> {
    Plain(&'a [u8]),
    Joined(Joined<'a>),
}

/// Packets of one flow, one behind the other.
struct Joined<'a> {
    packet: &'a [u8],
    first: Segment<'a>,
    payloads: Vec<&'a [u8]>,
    payload_len: usize,
    last: Segment<'a>,
}

impl<'a> Joiner<'a> {
    fn take(&mut self, packet: &'a [u8], joins_udp: bool) {
        let segment = Segment::parse(packet).filter(|segment| joins_udp || segment.protocol == TCP);
        let Some(segment) = segment else {
            // Without a look at its flow: whatever was open may not be overtaken.
            self.open.clear();
            self.frames.push(Frame(Content::Plain(packet)));
            return;
        };
        let position = self.open.iter().rposition(|slot| self.is_of_flow(*slot, &segment));
        let found = position.map(|position| self.open.remove(position));
        if segment.payload.is_empty() {
            self.frames.push(Frame(Content::Plain(packet)));
            return;
        }
        if let Some(slot) = found
            && let Some(Frame(Content::Joined(joined))) = self.frames.get_mut(slot)
            && joined.takes(&segment)
        {
            let stays_open = joined.add(segment);
            if stays_open {
                self.open.push(slot);
            }
            return;
        }
        if segment.may_be_first() {
            if self.open.len() >= MAX_OPEN {
                self.open.remove(0);
            }
            self.open.push(self.frames.len());
        }
        self.frames.push(Frame(Content::Joined(Joined {
            packet,
            first: segment,
            payloads: vec![segment.payload],
            payload_len: segment.payload.len(),
            last: segment,
        })));
    }

    fn is_of_flow(&self, slot: usize, segment: &Segment<'_>) -> bool {
        matches!(self.frames.get(slot),
            Some(Frame(Content::Joined(joined))) if joined.first.is_flow_of(segment))
    }
}

impl<'a> Joined<'a> {
    fn takes(&self, next: &Segment<'_>) -> bool {
        let total = self
            .payload_len
            .saturating_add(next.payload.len())
            .saturating_add(self.first.ip.len())
            .saturating_add(self.first.transport.len());
        next.payload.len() <= self.first.payload.len()
            && total <= MAX_PACKET
            && self.payloads.len() < MAX_SEGMENTS
            && next.follows(&self.last).unwrap_or(false)
    }

    /// Adds a packet; false when it was the last.
    fn add(&mut self, next: Segment<'a>) -> bool {
        self.payloads.push(next.payload);
        self.payload_len = self.payload_len.saturating_add(next.payload.len());
        self.last = next;
        next.payload.len() == self.first.payload.len() && !next.has_push()
    }
}

impl Segment<'_> {
    fn is_flow_of(&self, other: &Self) -> bool {
        let addresses = match self.version {
            Version::V4 => 12..20,
            Version::V6 => 8..40,
        };
        self.version == other.version
            && self.protocol == other.protocol
            && self.ip.get(addresses.clone()) == other.ip.get(addresses)
            && self.transport.get(..4) == other.transport.get(..4)
    }

    fn has_push(&self) -> bool {
        self.protocol == TCP && self.flags() & PSH != 0
    }

    fn flags(&self) -> u8 {
        self.transport.get(TCP_FLAGS).copied().unwrap_or_default()
    }

    /// Others may come behind it.
    fn may_be_first(&self) -> bool {
        self.protocol != TCP || self.flags() & !ECE == ACK
    }

    /// Tells whether a packet of the same flow can stand directly behind another.
    fn follows(&self, last: &Self) -> Option<bool> {
        let same_ip = match self.version {
            Version::V4 => {
                let step = get_u16(self.ip, 4)?.wrapping_sub(get_u16(last.ip, 4)?);
                let is_atomic = self.ip.get(6)? & DONT_FRAGMENT != 0;
                // Type of service; flags and offset; time to live.
                self.ip.get(1)? == last.ip.get(1)?
                    && self.ip.get(6..9)? == last.ip.get(6..9)?
                    && (is_atomic || step == 1)
            }
            // Version, traffic class and flow label; hop limit.
            Version::V6 => {
                self.ip.get(..4)? == last.ip.get(..4)? && self.ip.get(7)? == last.ip.get(7)?
            }
        };
        if self.protocol != TCP {
            return Some(same_ip);
        }
        let step = u32::try_from(last.payload.len()).ok()?;
        let flags = self.flags();
        // Acknowledgment number and length; window; urgent pointer and options.
        Some(
            same_ip
                && get_u32(self.transport, 4)? == get_u32(last.transport, 4)?.wrapping_add(step)
                && self.transport.get(8..13)? == last.transport.get(8..13)?
                && flags & !(PSH | ECE) == ACK
                && flags & ECE == last.flags() & ECE
                && self.transport.get(14..16)? == last.transport.get(14..16)?
                && self.transport.get(18..)? == last.transport.get(18..)?,
        )
    }
}

/// What stands in front of the payloads of a frame: its own header, and those of a joined packet.
pub struct Front {
    bytes: [u8; FRONT_LEN],
    len: usize,
}

impl Front {
    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<'a> Frame<'a> {
    /// Returns the length of the frame in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        let front_len = match self.joined() {
            Some(joined) => joined.header_len(),
            None => 0,
        };
        let bodies = self.bodies().iter().fold(0_usize, |sum, body| sum.saturating_add(body.len()));
        FRAME_HEADER_LEN.saturating_add(front_len).saturating_add(bodies)
    }

    /// A frame has at least a header.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns how many packets the frame holds.
    #[must_use]
    pub fn packet_count(&self) -> usize {
        self.bodies().len()
    }

    /// Returns what a joined packet has in front of its payloads, and just a header for others.
    #[must_use]
    pub fn front(&self) -> Front {
        let plain = Front { bytes: [0; FRONT_LEN], len: FRAME_HEADER_LEN };
        // A packet that is joined passed all checks on which this could fail.
        self.joined().and_then(Joined::front).unwrap_or(plain)
    }

    /// Returns what follows: a whole packet, or the payloads of those that are joined.
    #[must_use]
    pub fn bodies(&self) -> &[&'a [u8]] {
        match &self.0 {
            Content::Joined(joined) if joined.payloads.len() > 1 => &joined.payloads,
            Content::Plain(whole) | Content::Joined(Joined { packet: whole, .. }) => {
                slice::from_ref(whole)
            }
        }
    }

    /// Writes the frame; nothing useful if there is not exactly as much room as it needs.
    pub fn write(&self, room: &mut [u8]) {
        let front = self.front();
        let mut rest = room;
        for part in iter::once(front.as_bytes()).chain(self.bodies().iter().copied()) {
            let Some((here, behind)) = rest.split_at_mut_checked(part.len()) else { return };
            here.copy_from_slice(part);
            rest = behind;
        }
    }

    fn joined(&self) -> Option<&Joined<'a>> {
        match &self.0 {
            Content::Joined(joined) if joined.payloads.len() > 1 => Some(joined),
            _ => None,
        }
    }
}

impl Joined<'_> {
    fn header_len(&self) -> usize {
        self.first.ip.len().saturating_add(self.first.transport.len())
    }

    fn front(&self) -> Option<Front> {
        let first = &self.first;
        let transport_len = first.transport.len().checked_add(self.payload_len)?;
        let packet_len = first.ip.len().checked_add(transport_len)?;
        let mut front =
            Front { bytes: [0; FRONT_LEN], len: FRAME_HEADER_LEN.checked_add(self.header_len())? };
        let (frame_header, behind) = front.bytes.split_first_chunk_mut::<FRAME_HEADER_LEN>()?;
        let (ip, behind) = behind.split_at_mut_checked(first.ip.len())?;
        let transport = behind.get_mut(..first.transport.len())?;
        let is_tcp = first.protocol == TCP;
        let header = FrameHeader {
            flags: NEEDS_CHECKSUM,
            gso_type: match (is_tcp, first.version) {
                (true, Version::V4) => GSO_TCPV4,
                (true, Version::V6) => GSO_TCPV6,
                (false, _) => GSO_UDP_L4,
            },
            header_len: u16::try_from(self.header_len()).ok()?,
            segment_len: u16::try_from(first.payload.len()).ok()?,
            checksum_start: u16::try_from(first.ip.len()).ok()?,
            checksum_offset: if is_tcp { 16 } else { 6 },
        };
        *frame_header = header.encode();
        ip.copy_from_slice(first.ip);
        transport.copy_from_slice(first.transport);
        first.version.set_len(ip, packet_len)?;
        if is_tcp {
            *transport.get_mut(TCP_FLAGS)? |= self.last.flags() & PSH;
        } else {
            set_u16(transport, 4, u16::try_from(transport_len).ok()?)?;
        }
        let sum = first.version.pseudo_header(ip, first.protocol, transport_len)?.partial();
        let at = usize::from(header.checksum_offset);
        transport.get_mut(at..)?.get_mut(..2)?.copy_from_slice(&sum);
        Some(front)
    }
}
