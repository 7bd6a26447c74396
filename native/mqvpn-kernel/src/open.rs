//! Removal of packet and header protection of 1-RTT packets (RFC 9001 s5.3, s5.4).

use std::ops::Range;

use ring::aead::Aad;

use crate::keys::{PacketKeys, PathNonces, SAMPLE_LEN, TAG_LEN};
use crate::packet_number::{self, Length};
use crate::seal::{FIXED_BIT, KEY_PHASE_BIT, PROTECTED_BITS};
use crate::train::Equal;

const HEADER_FORM_AND_FIXED_BIT: u8 = 0xC0;
const LONG_HEADER: u8 = 0x80;
const RESERVED_BITS: u8 = 0x18;

/// What the packets of a received batch have in common.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveContext {
    /// Path ID that the destination connection ID belongs to.
    pub path_id: u32,
    /// One more than the largest packet number received on that path.
    pub expected: u64,
    /// Length of our connection IDs.
    pub cid_len: usize,
    /// The key phase bit the keys belong to.
    pub key_phase: bool,
}

/// What became of a received packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// It authenticates.
    Packet {
        /// The full number.
        packet_number: u64,
        /// A reserved bit of the header is set, which is a protocol violation.
        has_reserved_bits: bool,
        /// Where its frames are now, in the buffer it came in.
        plaintext: Range<usize>,
    },
    /// It belongs to the other key phase and was not opened.
    OtherPhase {
        /// The number it claims.
        packet_number: u64,
    },
    /// It is too short or has no short header.
    Malformed,
    /// The AEAD was tried and failed.
    Forged,
}

/// Opens packets of one path.
#[derive(Clone, Copy)]
pub struct Opener<'a> {
    pub(crate) keys: &'a PacketKeys,
    pub(crate) context: ReceiveContext,
    pub(crate) nonces: PathNonces,
}

impl<'a> Opener<'a> {
    /// Prepares for one path.
    #[must_use]
    pub fn new(keys: &'a PacketKeys, context: ReceiveContext) -> Self {
        Self { keys, context, nonces: keys.nonces(context.path_id) }
    }

    /// Opens one packet in place.
    ///
    /// The buffer holds nothing useful afterwards but what [`Opened::Packet`] points to, the
    /// unchanged packet for [`Opened::OtherPhase`] and [`Opened::Malformed`], and the last bytes of
    /// the packet for [`Opened::Forged`]: they may be a stateless reset token (RFC 9000 s10.3).
    pub fn open(&self, packet: &mut [u8]) -> Opened {
        self.try_open(packet).unwrap_or(Opened::Malformed)
    }

    fn try_open(&self, packet: &mut [u8]) -> Option<Opened> {
        let packet_len = packet.len();
        let number_start = self.context.cid_len.checked_add(1)?;
        if packet.first()? & HEADER_FORM_AND_FIXED_BIT != FIXED_BIT {
            return None;
        }
        // RFC 9001 s5.4.2: too short to sample is discarded. The tag alone is as long as the sample.
        let sampled = packet.get(number_start..)?;
        let (number_field, behind) = sampled.split_first_chunk::<{ Length::MAX }>()?;
        let sample: &[u8; SAMPLE_LEN] = behind.first_chunk()?;
        let (first_mask, number_mask) = self.keys.header_mask(sample)?;
        let first_byte = packet.first()? ^ (first_mask & PROTECTED_BITS);
        let length = Length::from_first_byte(first_byte);
        let unused_bits = u32::BITS.checked_sub(length.bits())?;
        let truncated = (u32::from_be_bytes(*number_field) ^ number_mask) >> unused_bits;
        let packet_number = packet_number::decode(truncated, length, self.context.expected);
        if (first_byte & KEY_PHASE_BIT != 0) != self.context.key_phase {
            return Some(Opened::OtherPhase { packet_number });
        }
        let header_len = number_start.checked_add(length.bytes())?;
        let (header, body) = packet.split_at_mut_checked(header_len)?;
        *header.first_mut()? = first_byte;
        let encoded = truncated.to_be_bytes();
        header
            .get_mut(number_start..)?
            .copy_from_slice(encoded.get(encoded.len().checked_sub(length.bytes())?..)?);
        let nonce = self.nonces.nonce(packet_number);
        let tag: [u8; TAG_LEN] = *body.last_chunk()?;
        let Ok(plaintext) = self.keys.aead.open_in_place(nonce, Aad::from(&*header), body) else {
            *body.last_chunk_mut()? = tag;
            return Some(Opened::Forged);
        };
        let plaintext_len = plaintext.len();
        debug_assert!(plaintext_len < packet_len);
        Some(Opened::Packet {
            packet_number,
            has_reserved_bits: first_byte & RESERVED_BITS != 0,
            plaintext: header_len..header_len.checked_add(plaintext_len)?,
        })
    }
}

/// Packets that authenticate and hold one DATAGRAM frame each, or one packet of another kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Packets with consecutive numbers.
    Train {
        /// Number of the first.
        packet_number: u64,
        /// Where the payloads of their DATAGRAM frames are.
        payloads: Equal,
    },
    /// A packet, which started here.
    Single {
        /// Where the packet started.
        start: usize,
        /// What became of it; what it points to counts from there.
        opened: Opened,
    },
}

/// A part of packets that lie in several buffers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkPart {
    /// The buffer, counted from 0.
    pub chunk: usize,
    /// What was found there.
    pub part: Part,
    /// It is a train, and the part before it is another one that it goes on with.
    pub goes_on: bool,
}

/// Bytes that the payloads of a train have in common in front.
pub const COMMON_PREFIX: usize = 2;
/// Type of a DATAGRAM frame that extends to the end of its packet (RFC 9221 s4).
const DATAGRAM_TO_END: u8 = 0x30;

impl Opener<'_> {
    /// Opens packets that lie back to back in buffers, all of one length but the very last, in place.
    ///
    /// Does what [`Opener::open_segments`] would do if the buffers were one.
    pub fn open_chunks<'b>(
        &self,
        chunks: impl IntoIterator<Item = &'b mut [u8]>,
        segment_len: usize,
    ) -> Vec<ChunkPart> {
        let mut parts: Vec<ChunkPart> = Vec::new();
        // The last train of the chunk before, if packets may stand behind it.
        let mut open: Option<(Equal, u64, [u8; COMMON_PREFIX])> = None;
        for (chunk, data) in chunks.into_iter().enumerate() {
            for part in self.open_segments(data, segment_len) {
                let train = match &part {
                    Part::Train { packet_number, payloads } => {
                        prefix_at(data, payloads).map(|prefix| (*payloads, *packet_number, prefix))
                    }
                    Part::Single { .. } => None,
                };
                let goes_on = match (&open, &train) {
                    (Some(before), Some(here)) => is_continued(before, here),
                    _ => false,
                };
                open = train.filter(|(payloads, ..)| payloads.last_len == payloads.len);
                parts.push(ChunkPart { chunk, part, goes_on });
            }
        }
        parts
    }

    /// Opens packets that lie back to back, all of one length but the last, in place.
    ///
    /// Packets with consecutive numbers that have nothing but a DATAGRAM frame to their end become
    /// one train, if those frames begin with the same two bytes.
    pub fn open_segments(&self, data: &mut [u8], segment_len: usize) -> Vec<Part> {
        let segment_len = segment_len.max(1);
        let mut parts: Vec<Part> = Vec::new();
        // Prefix and room of the train that may go on.
        let mut open_train: Option<[u8; COMMON_PREFIX]> = None;
        let mut start: usize = 0;
        for packet in data.chunks_mut(segment_len) {
            let opened = self.open(packet);
            let plain = plain_datagram(&opened, packet);
            let packet_start = start;
            start = start.saturating_add(packet.len());
            let Some((number, payload_start, prefix)) = plain else {
                open_train = None;
                parts.push(Part::Single { start: packet_start, opened });
                continue;
            };
            let begin = packet_start.saturating_add(payload_start);
            let len = packet.len().saturating_sub(payload_start).saturating_sub(TAG_LEN);
            if open_train == Some(prefix)
                && let Some(Part::Train { packet_number, payloads }) = parts.last_mut()
                && payloads.goes_on(*packet_number, number, begin)
            {
                payloads.count = payloads.count.saturating_add(1);
                payloads.last_len = len;
                continue;
            }
            open_train = Some(prefix);
            let payloads =
                Equal { start: begin, stride: segment_len, len, last_len: len, count: 1 };
            parts.push(Part::Train { packet_number: number, payloads });
        }
        parts
    }
}

fn prefix_at(data: &[u8], payloads: &Equal) -> Option<[u8; COMMON_PREFIX]> {
    data.get(payloads.start..)?.first_chunk().copied()
}

/// Tells whether a train at the start of a buffer goes on with the one at the end of another.
fn is_continued(
    (before, before_number, before_prefix): &(Equal, u64, [u8; COMMON_PREFIX]),
    (here, number, prefix): &(Equal, u64, [u8; COMMON_PREFIX]),
) -> bool {
    let follows = u64::try_from(before.count)
        .is_ok_and(|count| before_number.checked_add(count) == Some(*number));
    let is_as_long = here.len == before.len || (here.count == 1 && here.len < before.len);
    // The same place in their packets: headers of the same length.
    let place = |payloads: &Equal| payloads.start.checked_rem(payloads.stride);
    follows && is_as_long && prefix == before_prefix && place(here) == place(before)
}

impl Equal {
    /// Tells whether a packet with a number and a start is the next one.
    fn goes_on(&self, first_number: u64, number: u64, start: usize) -> bool {
        let Ok(count) = u64::try_from(self.count) else { return false };
        let expected =
            self.count.checked_mul(self.stride).and_then(|at| at.checked_add(self.start));
        first_number.checked_add(count) == Some(number) && expected == Some(start)
    }
}

/// Returns number, start of the payload and its prefix for a packet with one DATAGRAM frame.
fn plain_datagram(opened: &Opened, packet: &[u8]) -> Option<(u64, usize, [u8; COMMON_PREFIX])> {
    let Opened::Packet { packet_number, has_reserved_bits: false, plaintext } = opened else {
        return None;
    };
    let (frame_type, payload) = packet.get(plaintext.clone())?.split_first()?;
    let prefix = payload.first_chunk::<COMMON_PREFIX>()?;
    (*frame_type == DATAGRAM_TO_END).then_some(())?;
    Some((*packet_number, plaintext.start.checked_add(1)?, *prefix))
}

/// Tells whether packets back to back all have short headers with the same connection ID.
#[must_use]
pub fn share_destination(data: &[u8], segment_len: usize, cid_len: usize) -> bool {
    let Some(cid) = data.get(1..).and_then(|behind| behind.get(..cid_len)) else { return false };
    data.chunks(segment_len.max(1)).all(|packet| {
        packet.split_first().is_some_and(|(first, behind)| {
            first & LONG_HEADER == 0 && behind.get(..cid_len) == Some(cid)
        })
    })
}
