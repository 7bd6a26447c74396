//! Which packets of a batch leave together in one send with segmentation (GSO).

/// Most packets in one run: what every kernel with GSO takes.
pub const MAX_PACKETS: usize = 64;
/// Most bytes in one run: below the largest UDP payload.
pub const MAX_BYTES: usize = 65_000;

/// Packets that leave together: all of one size but the last, which may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// How many packets.
    pub count: usize,
    /// Length of each of them but the last.
    pub segment_len: usize,
    /// Length of all of them.
    pub total_len: usize,
}

/// Cuts a batch into runs, given the lengths of its packets in order.
#[must_use]
pub fn plan(sizes: &[usize]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut is_open = false;
    for &size in sizes {
        match runs.last_mut() {
            Some(run) if is_open && run.has_room_for(size) => {
                run.count = run.count.saturating_add(1);
                run.total_len = run.total_len.saturating_add(size);
                is_open = size == run.segment_len;
            }
            _ => {
                runs.push(Run { count: 1, segment_len: size, total_len: size });
                is_open = true;
            }
        }
    }
    runs
}

/// Joins runs whose packets have one length, of which only the very last one is shorter.
///
/// What leaves in several sends is one thing to whoever waits for its fate.
#[must_use]
pub fn join_like(runs: &[Run]) -> Vec<Run> {
    let mut joined: Vec<Run> = Vec::new();
    for run in runs {
        match joined.last_mut() {
            Some(before) if before.is_full() && before.segment_len == run.segment_len => {
                before.count = before.count.saturating_add(run.count);
                before.total_len = before.total_len.saturating_add(run.total_len);
            }
            _ => joined.push(*run),
        }
    }
    joined
}

impl Run {
    /// Its last packet is as long as the others.
    fn is_full(&self) -> bool {
        self.segment_len.saturating_mul(self.count) == self.total_len
    }

    /// A shorter packet may join as the last one, a longer one never.
    fn has_room_for(&self, size: usize) -> bool {
        // As if it were of full length, so that the last one decides nothing.
        let full = self.total_len.saturating_add(self.segment_len);
        size <= self.segment_len && self.count < MAX_PACKETS && full <= MAX_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(sizes: &[usize]) -> Vec<(usize, usize, usize)> {
        plan(sizes).iter().map(|run| (run.count, run.segment_len, run.total_len)).collect()
    }

    #[test]
    fn only_the_last_packet_of_a_run_is_shorter() {
        assert_eq!(shapes(&[]), []);
        assert_eq!(shapes(&[100, 100, 40]), [(3, 100, 240)]);
        assert_eq!(shapes(&[100, 40, 40]), [(2, 100, 140), (1, 40, 40)]);
        assert_eq!(shapes(&[40, 100, 100]), [(1, 40, 40), (2, 100, 200)]);
        assert_eq!(shapes(&[100, 40, 100]), [(2, 100, 140), (1, 100, 100)]);
    }

    #[test]
    fn runs_of_one_length_count_together_until_a_shorter_packet() {
        let join = |sizes: &[usize]| {
            let joined = join_like(&plan(sizes));
            joined.iter().map(|run| (run.segment_len, run.count, run.total_len)).collect::<Vec<_>>()
        };
        assert_eq!(join(&[]), []);
        assert_eq!(join(&[1300; 120]), [(1300, 120, 156_000)]);
        assert_eq!(join(&[&[1300; 60][..], &[70]].concat()), [(1300, 61, 78_070)]);
        assert_eq!(join(&[1300, 70, 1300]), [(1300, 2, 1370), (1300, 1, 1300)]);
        assert_eq!(join(&[70, 1300]), [(70, 1, 70), (1300, 1, 1300)]);
    }

    #[test]
    fn runs_are_bounded() {
        assert_eq!(shapes(&[10; 65]), [(64, 10, 640), (1, 10, 10)]);
        assert_eq!(shapes(&[1300; 51]), [(50, 1300, 65_000), (1, 1300, 1300)]);
        assert_eq!(shapes(&[40_000, 10]), [(1, 40_000, 40_000), (1, 10, 10)]);
        assert_eq!(shapes(&[70_000, 10]), [(1, 70_000, 70_000), (1, 10, 10)]);
    }
}
