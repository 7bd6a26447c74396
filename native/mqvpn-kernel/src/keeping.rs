//! How much of what leaves is kept, in case its path fails before somebody has it.
//!
//! Memory that many megabytes go through does not stay in the caches: to keep only a quarter of what
//! leaves at several Gbit/s costs the sender a twentieth. Of such a load next to nothing can be sent
//! again before those who have sent it do so; below 1.2 Gbit/s all of it is kept.

use std::time::{Duration, Instant};

/// Bytes that are kept at most until somebody asks, of all lanes.
pub const MAX_BYTES: usize = 3 << 20;
/// And of each lane, whatever others do.
const MIN_BYTES_OF_LANE: usize = 256 << 10;
/// No more than [`MAX_BYTES`] may leave in this time on and on, or else only the least is kept.
pub const WHILE: Duration = Duration::from_millis(20);

/// How much has left lately.
#[derive(Default)]
pub struct Keeping {
    /// Bytes, less what [`WHILE`] allows for.
    surplus: usize,
    at: Option<Instant>,
}

impl Keeping {
    /// Takes note of bytes that leave, and tells whether they are to be kept beside what is kept
    /// already: in total, and of their lane.
    pub fn admits(&mut self, bytes: usize, total: usize, of_lane: usize, now: Instant) -> bool {
        let allowed = self.at.replace(now).map_or(0, |at| allowance(now, at));
        let surplus = self.surplus.saturating_sub(allowed);
        // Whatever it was, after a while everything is kept again.
        self.surplus = surplus.saturating_add(bytes).min(MAX_BYTES.saturating_mul(2));
        (surplus < MAX_BYTES && total < MAX_BYTES) || of_lane < MIN_BYTES_OF_LANE
    }
}

/// Returns how many bytes may leave in this time.
fn allowance(now: Instant, before: Instant) -> usize {
    let nanoseconds = now.saturating_duration_since(before).as_nanos();
    let bytes = u128::try_from(MAX_BYTES).unwrap_or(u128::MAX).saturating_mul(nanoseconds);
    usize::try_from(bytes.checked_div(WHILE.as_nanos()).unwrap_or_default()).unwrap_or(usize::MAX)
}
