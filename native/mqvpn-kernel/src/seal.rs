//! Packet and header protection of 1-RTT packets (RFC 9001 s5.3, s5.4; nonce: RFC 10069 s2.4).

use ring::aead::Aad;

use crate::keys::{PacketKeys, PathNonces, SAMPLE_LEN, TAG_LEN};
use crate::packet_number::Length;

pub(crate) const FIXED_BIT: u8 = 0x40;
pub(crate) const KEY_PHASE_BIT: u8 = 0x04;
/// Bits of the first byte of a short header that header protection covers.
pub(crate) const PROTECTED_BITS: u8 = 0x1F;

/// What the headers of a batch of sealed packets have in common (RFC 9000 s17.3.1).
#[derive(Clone, Copy, Debug)]
pub struct ShortHeader<'a> {
    /// Connection ID of the receiver.
    pub destination_cid: &'a [u8],
    /// The key phase bit.
    pub key_phase: bool,
    /// Bytes that encode the packet number.
    pub number_length: Length,
}

impl ShortHeader<'_> {
    /// Returns the length of the header in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.destination_cid.len().saturating_add(self.number_length.bytes()).saturating_add(1)
    }

    /// A header has at least a first byte and a packet number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Returns how many bytes of PADDING a payload of this length needs in front.
    ///
    /// RFC 9001 s5.4.2: the sample starts four bytes behind the start of the packet number. In
    /// front because a DATAGRAM frame without a length extends to the end.
    #[must_use]
    pub fn padding(&self, payload_len: usize) -> usize {
        Length::MAX.saturating_sub(self.number_length.bytes()).saturating_sub(payload_len)
    }

    /// Returns the length of the packet that a payload of this length becomes.
    #[must_use]
    pub fn sealed_len(&self, payload_len: usize) -> usize {
        self.len()
            .saturating_add(self.padding(payload_len))
            .saturating_add(payload_len)
            .saturating_add(TAG_LEN)
    }
}

/// The output is not as long as the packet, or the packet is too long for the AEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealError;

/// Seals packets of one path.
#[derive(Clone, Copy)]
pub struct Sealer<'a> {
    keys: &'a PacketKeys,
    header: ShortHeader<'a>,
    nonces: PathNonces,
}

impl<'a> Sealer<'a> {
    /// Prepares for one path.
    #[must_use]
    pub fn new(keys: &'a PacketKeys, header: ShortHeader<'a>, path_id: u32) -> Self {
        Self { keys, header, nonces: keys.nonces(path_id) }
    }

    /// Writes one protected packet; its payload is given in parts that belong together.
    ///
    /// # Errors
    /// `out` has not the length that [`ShortHeader::sealed_len`] says; nothing useful is in it then.
    pub fn seal(
        &self,
        packet_number: u64,
        payload: &[&[u8]],
        out: &mut [u8],
    ) -> Result<(), SealError> {
        self.try_seal(packet_number, payload, out).ok_or(SealError)
    }

    fn try_seal(&self, packet_number: u64, payload: &[&[u8]], out: &mut [u8]) -> Option<()> {
        let number_length = self.header.number_length;
        let payload_len = payload.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if out.len() != self.header.sealed_len(payload_len) {
            return None;
        }
        let (header, rest) = out.split_at_mut_checked(self.header.len())?;
        let (body, tag) = rest.split_at_mut_checked(rest.len().checked_sub(TAG_LEN)?)?;
        let (first_byte, behind) = header.split_first_mut()?;
        let (cid, number) = behind.split_at_mut_checked(self.header.destination_cid.len())?;
        *first_byte = FIXED_BIT | number_length.first_byte_bits();
        if self.header.key_phase {
            *first_byte |= KEY_PHASE_BIT;
        }
        cid.copy_from_slice(self.header.destination_cid);
        let encoded = packet_number.to_be_bytes();
        number.copy_from_slice(encoded.get(encoded.len().checked_sub(number_length.bytes())?..)?);
        let (padding, mut room) = body.split_at_mut_checked(self.header.padding(payload_len))?;
        padding.fill(0);
        for part in payload {
            let (here, behind) = room.split_at_mut_checked(part.len())?;
            here.copy_from_slice(part);
            room = behind;
        }
        let nonce = self.nonces.nonce(packet_number);
        let sealed_tag =
            self.keys.aead.seal_in_place_separate_tag(nonce, Aad::from(&*header), body).ok()?;
        tag.copy_from_slice(sealed_tag.as_ref());
        let number_start = self.header.destination_cid.len().checked_add(1)?;
        protect_header(self.keys, out, number_start, number_length)
    }
}

/// Masks the first byte and the packet number (RFC 9001 s5.4.1).
pub(crate) fn protect_header(
    keys: &PacketKeys,
    packet: &mut [u8],
    number_start: usize,
    number_length: Length,
) -> Option<()> {
    let header_len = number_start.checked_add(number_length.bytes())?;
    let (header, behind) = packet.split_at_mut_checked(header_len)?;
    // The sample starts four bytes behind the start of the packet number.
    let sample_start = Length::MAX.checked_sub(number_length.bytes())?;
    let sample: &[u8; SAMPLE_LEN] = behind.get(sample_start..)?.first_chunk()?;
    let (first_mask, number_mask) = keys.header_mask(sample)?;
    *header.first_mut()? ^= first_mask & PROTECTED_BITS;
    for (byte, mask) in header.get_mut(number_start..)?.iter_mut().zip(number_mask.to_be_bytes()) {
        *byte ^= mask;
    }
    Some(())
}
