//! Frames of a TUN device with a `virtio_net_hdr`: into packets, and packets into frames.
//!
//! The header has ten bytes in the order of the machine (virtio 1.2 s5.1.6): flags, GSO type, and
//! 16 bits each for header length, segment length, start and offset of the checksum.

use crate::checksum::Sum;
use crate::segment::{TCP, UDP, Version, tcp_header_len};
use crate::train::{MAX_HEADERS, Shared, SuperPacket, Train};

/// Length of the header in front of each packet.
pub const FRAME_HEADER_LEN: usize = 10;

pub(crate) const NEEDS_CHECKSUM: u8 = 1;
pub(crate) const GSO_NONE: u8 = 0;
pub(crate) const GSO_TCPV4: u8 = 1;
pub(crate) const GSO_TCPV6: u8 = 4;
pub(crate) const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;
const UDP_CHECKSUM_OFFSET: usize = 6;

/// What a frame holds.
pub enum Content {
    /// One packet.
    Packet(Vec<u8>),
    /// A packet to be split.
    Train(Train),
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) flags: u8,
    pub(crate) gso_type: u8,
    pub(crate) header_len: u16,
    pub(crate) segment_len: u16,
    pub(crate) checksum_start: u16,
    pub(crate) checksum_offset: u16,
}

impl FrameHeader {
    fn decode(bytes: &[u8; FRAME_HEADER_LEN]) -> Self {
        let [flags, gso_type, h0, h1, s0, s1, c0, c1, o0, o1] = *bytes;
        Self {
            flags,
            gso_type,
            header_len: u16::from_ne_bytes([h0, h1]),
            segment_len: u16::from_ne_bytes([s0, s1]),
            checksum_start: u16::from_ne_bytes([c0, c1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    pub(crate) fn encode(self) -> [u8; FRAME_HEADER_LEN] {
        let [h0, h1] = self.header_len.to_ne_bytes();
        let [s0, s1] = self.segment_len.to_ne_bytes();
        let [c0, c1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        [self.flags, self.gso_type, h0, h1, s0, s1, c0, c1, o0, o1]
    }
}

/// Takes a frame apart; nothing if it makes no sense.
#[must_use]
pub fn split_frame(frame: &Shared) -> Option<Content> {
    let bytes = (**frame).as_ref();
    let (header, packet) = bytes.split_first_chunk::<FRAME_HEADER_LEN>()?;
    let header = FrameHeader::decode(header);
    if header.gso_type == GSO_NONE {
        return complete(&mut bytes.to_vec()).map(|packet| Content::Packet(packet.to_vec()));
    }
    let super_packet = check(header, packet)?;
    if super_packet.count() > 1 {
        return Some(Content::Train(Train::from_super_packet(Shared::clone(frame), super_packet)));
    }
    let train = Train::from_super_packet(Shared::clone(frame), super_packet);
    train.packet(0).map(|parts| Content::Packet(parts.to_vec()))
}

/// Fills in the checksum that was left to the device and returns the packet.
///
/// Nothing for a frame that is to be split or makes no sense, which stays as it is.
pub(crate) fn complete(frame: &mut [u8]) -> Option<&[u8]> {
    let (header, packet) = frame.split_first_chunk_mut::<FRAME_HEADER_LEN>()?;
    let header = FrameHeader::decode(header);
    if header.gso_type != GSO_NONE {
        return None;
    }
    if header.flags & NEEDS_CHECKSUM != 0 {
        let summed = packet.get_mut(usize::from(header.checksum_start)..)?;
        let offset = usize::from(header.checksum_offset);
        // The field holds the sum of the pseudo-header.
        let mut checksum = Sum::default().add(summed).checksum();
        if offset == UDP_CHECKSUM_OFFSET && checksum == [0, 0] {
            checksum = [0xFF, 0xFF];
        }
        summed.get_mut(offset..)?.get_mut(..2)?.copy_from_slice(&checksum);
    }
    Some(packet)
}

fn check(header: FrameHeader, packet: &[u8]) -> Option<SuperPacket> {
    let version = match packet.first()? >> 4 {
        4 => Version::V4,
        6 => Version::V6,
        _ => return None,
    };
    // What the header says of its own length is not to be relied on.
    let ip_len = usize::from(header.checksum_start);
    let behind = packet.get(ip_len..)?;
    let (protocol, transport_len) = match (header.gso_type & !GSO_ECN, version) {
        (GSO_TCPV4, Version::V4) | (GSO_TCPV6, Version::V6) => (TCP, tcp_header_len(behind)?),
        (GSO_UDP_L4, _) => (UDP, 8),
        _ => return None,
    };
    let header_len = ip_len.checked_add(transport_len)?;
    let payload_len = packet.len().checked_sub(header_len)?;
    let is_usable = ip_len >= version.header_len()
        && header_len <= MAX_HEADERS
        && header.segment_len > 0
        && payload_len > 0
        && (version == Version::V6
            || usize::from(packet.first()? & 0x0F).saturating_mul(4) == ip_len);
    is_usable.then_some(SuperPacket {
        start: FRAME_HEADER_LEN,
        version,
        protocol,
        ip_len,
        header_len,
        segment_len: usize::from(header.segment_len),
        payload_len,
    })
}
