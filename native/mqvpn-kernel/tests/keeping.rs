//! All of an ordinary load is kept, little of a large one, and never more than there is memory for.

#![allow(clippy::arithmetic_side_effects)] // A test stops at the first thing that is not as it should be.

use std::time::{Duration, Instant};

use mqvpn_kernel::keeping::{Keeping, MAX_BYTES, WHILE};

const RUN: usize = 100_000;
const SECOND: Duration = Duration::from_secs(1);

/// Sends at a rate and returns how much of a hundred is kept; what is kept goes each 20 ms.
fn percent(keeping: &mut Keeping, mbit: u64, start: Instant) -> usize {
    let step = Duration::from_nanos(800_000_000 / mbit);
    let (mut now, mut asked, mut here, mut kept, mut count) = (start, start, 0, 0, 0);
    while now < start + SECOND {
        if now - asked >= WHILE {
            (asked, here) = (now, 0);
        }
        if keeping.admits(RUN, here, here, now) {
            (here, kept) = (here + RUN, kept + 1);
        }
        count += 1;
        now += step;
    }
    100 * kept / count
}

#[test]
fn all_of_a_gigabit_is_kept_and_little_of_several() {
    let start = Instant::now();
    assert!(percent(&mut Keeping::default(), 1200, start) > 98);
    // A quarter of a megabyte in 20 ms is 0.1 Gbit/s.
    assert!((1..5).contains(&percent(&mut Keeping::default(), 5000, start)));
    assert!((5..95).contains(&percent(&mut Keeping::default(), 1500, start)));
}

#[test]
fn a_load_that_has_ended_is_forgotten() {
    let mut keeping = Keeping::default();
    let start = Instant::now();
    percent(&mut keeping, 5000, start);
    assert!(percent(&mut keeping, 1000, start + SECOND + 2 * WHILE) > 98);
}

#[test]
fn a_burst_is_kept_up_to_its_limit() {
    let mut keeping = Keeping::default();
    let now = Instant::now();
    let mut kept = 0;
    for _ in 0..100 {
        kept += if keeping.admits(RUN, kept, kept, now) { RUN } else { 0 };
    }
    assert!((MAX_BYTES..MAX_BYTES + RUN).contains(&kept));
}

#[test]
fn however_much_nobody_asks_for_memory_has_a_limit() {
    let mut keeping = Keeping::default();
    let start = Instant::now();
    let mut kept = 0;
    for step in 0..10_000_u64 {
        let now = start + Duration::from_millis(step);
        kept += if keeping.admits(RUN, kept, kept, now) { RUN } else { 0 };
    }
    assert!((MAX_BYTES..MAX_BYTES + RUN).contains(&kept));
}
