//! Packets that acknowledge and do nothing else: nobody waits for them as for data.

/// ACK (RFC 9000 s19.3), and with ECN counts.
const ACK: u8 = 0x02;
const ACK_ECN: u8 = 0x03;
/// `PATH_ACK` (RFC 10069 s4.1), and with ECN counts: a path ID comes first.
const PATH_ACK: u8 = 0x3E;
const PATH_ACK_ECN: u8 = 0x3F;
/// Largest number, delay and the first range, besides the count of further ranges.
const ECN_COUNTS: u64 = 3;

/// Tells whether the frames of a packet are one acknowledgement.
#[must_use]
pub fn is_acknowledgement(frames: &[u8]) -> bool {
    end_of_frame(frames).is_some_and(<[u8]>::is_empty)
}

/// Returns what stands behind an acknowledgement.
fn end_of_frame(frames: &[u8]) -> Option<&[u8]> {
    let (kind, mut rest) = frames.split_first()?;
    let (has_path, has_counts) = match *kind {
        ACK => (false, false),
        ACK_ECN => (false, true),
        PATH_ACK => (true, false),
        PATH_ACK_ECN => (true, true),
        _ => return None,
    };
    if has_path {
        (_, rest) = varint(rest)?;
    }
    (_, rest) = varint(rest)?;
    (_, rest) = varint(rest)?;
    let ranges;
    (ranges, rest) = varint(rest)?;
    (_, rest) = varint(rest)?;
    let more = ranges.checked_mul(2)?.checked_add(if has_counts { ECN_COUNTS } else { 0 })?;
    // Each takes a byte at least, so that this ends with the packet.
    for _ in 0..more {
        (_, rest) = varint(rest)?;
    }
    Some(rest)
}

/// Takes a variable-length integer off the front (RFC 9000 s16).
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let first = *bytes.first()?;
    let (encoded, rest) = bytes.split_at_checked(1_usize.checked_shl(u32::from(first >> 6))?)?;
    let value = encoded.iter().fold(0_u64, |value, byte| value.wrapping_shl(8) | u64::from(*byte));
    let bits = encoded.len().checked_mul(8)?.checked_sub(2)?;
    Some((value & 1_u64.checked_shl(u32::try_from(bits).ok()?)?.checked_sub(1)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_alone() {
        assert!(is_acknowledgement(&[0x02, 5, 0, 0, 5]));
        assert!(is_acknowledgement(&[0x02, 5, 0x40, 200, 1, 1, 0, 1]));
        assert!(is_acknowledgement(&[0x03, 5, 0, 0, 5, 1, 2, 3]));
        assert!(is_acknowledgement(&[0x3E, 1, 5, 0, 0, 5]));
        assert!(is_acknowledgement(&[0x3F, 1, 0x80, 0, 1, 0, 0, 0, 5, 1, 2, 3]));
    }

    #[test]
    fn anything_else() {
        for frames in [
            &[][..],
            &[0x01],
            &[0x02],
            &[0x02, 5, 0, 0],
            &[0x02, 5, 0, 0, 5, 0x01],
            &[0x02, 5, 0, 0, 5, 0x30, 0, 0, 1],
            &[0x02, 5, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 5],
            &[0x03, 5, 0, 0, 5, 1, 2],
            &[0x3E, 1, 5, 0, 0],
            &[0x30, 0, 0],
        ] {
            assert!(!is_acknowledgement(frames), "{frames:?}");
        }
    }
}
