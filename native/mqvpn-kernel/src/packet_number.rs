//! Packet numbers: their range, and from truncated to full ones.

/// One more than the largest packet number (RFC 9000 s12.3).
pub const LIMIT: u64 = 1 << 62;

/// Bytes that encode a packet number: 1 to 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length(u8);

impl Length {
    /// The longest encoding.
    pub const MAX: usize = 4;

    /// Takes a number of bytes, if it is one of the four.
    #[must_use]
    pub fn new(bytes: u8) -> Option<Self> {
        matches!(bytes, 1..=4).then_some(Self(bytes))
    }

    /// Takes the two lowest bits of a first byte (RFC 9000 s17.3.1).
    #[must_use]
    pub fn from_first_byte(first_byte: u8) -> Self {
        Self((first_byte & 0x03).wrapping_add(1))
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        usize::from(self.0)
    }

    /// Returns what the first byte says about it.
    #[must_use]
    pub fn first_byte_bits(self) -> u8 {
        self.0.wrapping_sub(1)
    }

    /// Returns the number of bits.
    #[must_use]
    pub fn bits(self) -> u32 {
        u32::from(self.0).wrapping_mul(8)
    }
}

/// Returns the full packet number nearest to `expected` (RFC 9000 appendix A.3).
///
/// `expected` is the largest received number plus one, at most [`LIMIT`].
#[must_use]
pub fn decode(truncated: u32, length: Length, expected: u64) -> u64 {
    let window = 1_u64 << length.bits();
    let half = window >> 1;
    let candidate = (expected & window.wrapping_neg()) | u64::from(truncated);
    if candidate.saturating_add(half) <= expected && candidate < LIMIT.saturating_sub(window) {
        candidate.saturating_add(window)
    } else if candidate > expected.saturating_add(half) && candidate >= window {
        candidate.saturating_sub(window)
    } else {
        candidate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length(bytes: u8) -> Length {
        Length::new(bytes).unwrap_or_else(|| panic!("{bytes} is no length"))
    }

    #[test]
    fn numbers_near_the_expected_are_found() {
        for (truncated, bytes, largest, expected) in [
            // RFC 9000 appendix A.3.
            (0x9B32, 2, 0xA82F_30EA_i64, 0xA82F_9B32_u64),
            (0, 1, -1, 0),
            (0xFF, 1, 0x100, 0xFF),
            (0xFF, 1, 0, 0xFF),
            (0x01, 1, 0xFE, 0x101),
            (0x80, 1, 0xFF, 0x180),
            (0x81, 1, 0xFF, 0x81),
            (5, 4, (1 << 62) - 3, (1 << 62) - (1 << 32) + 5),
        ] {
            let next = u64::try_from(largest + 1).unwrap_or_else(|_| panic!("{largest}"));
            assert_eq!(decode(truncated, length(bytes), next), expected);
        }
    }

    #[test]
    fn lengths_are_one_to_four() {
        assert_eq!(Length::new(0), None);
        assert_eq!(Length::new(5), None);
        for bytes in 1..=4 {
            let first_byte = 0xFC | length(bytes).first_byte_bits();
            assert_eq!(Length::from_first_byte(first_byte), length(bytes));
        }
    }
}
