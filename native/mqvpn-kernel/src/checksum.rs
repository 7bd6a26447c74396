//! The Internet checksum (RFC 1071).

/// Words of 64 bits that are summed at a time.
const LANES: usize = 8;
const LOW_HALF: u64 = 0xFFFF_FFFF;

/// A sum of 16-bit words, in the byte order of the machine, before its carries are folded in.
///
/// The order does not matter: a sum of swapped words is the swapped sum (RFC 1071 s2).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes that start at an even offset of what is summed.
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        // Both halves of several words at a time, which become vectors of the processor.
        let mut lanes = [0_u64; LANES];
        let blocks = bytes.chunks_exact(LANES * 8);
        let behind = blocks.remainder();
        for block in blocks {
            for (lane, word) in lanes.iter_mut().zip(block.chunks_exact(8)) {
                let word = <[u8; 8]>::try_from(word).map_or(0, u64::from_ne_bytes);
                // A packet has too few words for an overflow.
                *lane = lane.wrapping_add(word & LOW_HALF).wrapping_add(word >> u32::BITS);
            }
        }
        let mut total = lanes.iter().fold(self.0, |sum, lane| sum.wrapping_add(*lane));
        let words = behind.chunks_exact(4);
        let rest = words.remainder();
        for word in words {
            let word = <[u8; 4]>::try_from(word).map_or(0, u32::from_ne_bytes);
            total = total.wrapping_add(u64::from(word));
        }
        let mut last = [0; 4];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        Self(total.wrapping_add(u64::from(u32::from_ne_bytes(last))))
    }

    /// Adds one 16-bit number.
    pub(crate) fn add_number(self, number: u16) -> Self {
        Self(self.0.wrapping_add(u64::from(u16::from_ne_bytes(number.to_be_bytes()))))
    }

    /// Returns the sum as it stands in a packet, not complemented.
    pub(crate) fn partial(self) -> [u8; 2] {
        self.folded().to_ne_bytes()
    }

    /// Returns the checksum as it stands in a packet.
    pub(crate) fn checksum(self) -> [u8; 2] {
        (!self.folded()).to_ne_bytes()
    }

    /// Tells whether what was summed, its checksum included, is intact.
    pub(crate) fn is_valid(self) -> bool {
        self.folded() == u16::MAX
    }

    fn folded(self) -> u16 {
        let mut total = self.0;
        while total > u64::from(u16::MAX) {
            total = (total & u64::from(u16::MAX)).wrapping_add(total >> u16::BITS);
        }
        u16::try_from(total).unwrap_or(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let sum = Sum::default().add(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.partial(), [0xdd, 0xf2]);
        assert_eq!(sum.checksum(), [0x22, 0x0d]);
        assert!(sum.add(&[0x22, 0x0d]).is_valid());
    }

    #[test]
    fn odd_ends_are_filled_with_zero() {
        for len in 0..200 {
            let bytes: Vec<u8> = (1..=len).rev().collect();
            let mut filled = bytes.clone();
            filled.resize(bytes.len().next_multiple_of(2), 0);
            let words =
                filled.chunks_exact(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
            let total = words.sum::<u32>();
            let folded = (total & 0xFFFF) + (total >> 16);
            let expected = u16::try_from(folded).unwrap();
            assert_eq!(Sum::default().add(&bytes).partial(), expected.to_be_bytes());
        }
    }
}
