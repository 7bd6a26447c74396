//! Puts back the protection of packets that were opened: who opened them may leave them to others.
//!
//! The AEAD and header protection are deterministic: the same number, header and plaintext give the
//! bytes that came. No packet leaves under a number that its sender did not use for the same bytes.

use ring::aead::Aad;

use crate::keys::TAG_LEN;
use crate::open::{Opened, Opener};
use crate::packet_number::Length;
use crate::seal::protect_header;

impl Opener<'_> {
    /// Undoes [`Opener::open`], in place.
    ///
    /// A forged packet stays one, of the same number and key phase, and keeps its last bytes; the
    /// rest of it is lost. What was not opened is left as it is.
    pub(crate) fn reseal(&self, packet: &mut [u8], opened: &Opened) {
        match opened {
            Opened::Packet { packet_number, .. } => self.seal_again(packet, *packet_number),
            Opened::Forged => self.protect_again(packet),
            Opened::OtherPhase { .. } | Opened::Malformed => {}
        }
    }

    /// Undoes [`Opener::open`] of a packet that authenticated.
    pub(crate) fn seal_again(&self, packet: &mut [u8], packet_number: u64) {
        // Nothing here fails for a packet that was opened.
        if self.try_seal(packet, packet_number).is_some() {
            self.protect_again(packet);
        }
    }

    fn try_seal(&self, packet: &mut [u8], packet_number: u64) -> Option<()> {
        let length = Length::from_first_byte(*packet.first()?);
        let header_len = self.number_start()?.checked_add(length.bytes())?;
        let (header, body) = packet.split_at_mut_checked(header_len)?;
        let (plaintext, tag) = body.split_at_mut_checked(body.len().checked_sub(TAG_LEN)?)?;
        let nonce = self.nonces.nonce(packet_number);
        let sealed_tag = self
            .keys
            .aead
            .seal_in_place_separate_tag(nonce, Aad::from(&*header), plaintext)
            .ok()?;
        tag.copy_from_slice(sealed_tag.as_ref());
        Some(())
    }

    fn protect_again(&self, packet: &mut [u8]) {
        if let (Some(first), Some(number_start)) = (packet.first(), self.number_start()) {
            let length = Length::from_first_byte(*first);
            protect_header(self.keys, packet, number_start, length);
        }
    }

    fn number_start(&self) -> Option<usize> {
        self.context.cid_len.checked_add(1)
    }
}
