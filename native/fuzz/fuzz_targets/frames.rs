//! Any bytes may come from a TUN device: taking them apart ends with packets that have the right
//! length, and joining packets loses none of their bytes.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::frames::{Content, split_frame};
use mqvpn_kernel::join;
use mqvpn_kernel::train::Shared;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    frames: Vec<&'a [u8]>,
    joins_udp: bool,
    first: usize,
    count: usize,
}

fn join_packets(packets: &[&[u8]], joins_udp: bool) -> Vec<Vec<u8>> {
    let frames = join::join_packets(packets, joins_udp);
    let made = frames.iter().map(|frame| {
        let mut room = vec![0xAA; frame.len()];
        frame.write(&mut room);
        room
    });
    made.collect()
}

fn packets_of(frame: &[u8]) -> Vec<Vec<u8>> {
    let shared: Shared = Arc::new(frame.to_vec());
    match split_frame(&shared) {
        None => Vec::new(),
        Some(Content::Packet(packet)) => vec![packet],
        Some(Content::Train(train)) => {
            let packets: Vec<Vec<u8>> =
                (0..train.len()).map(|index| train.packet(index).unwrap().to_vec()).collect();
            assert_eq!(train.total_len(), packets.iter().map(Vec::len).sum::<usize>());
            assert!(packets.iter().enumerate().all(|(at, one)| one.len() == train.packet_len(at)));
            let _ = train.flow();
            packets
        }
    }
}

fuzz_target!(|input: Input| {
    let mut packets: Vec<Vec<u8>> = input.frames.iter().flat_map(|one| packets_of(one)).collect();
    packets.truncate(2000);
    let borrowed: Vec<&[u8]> = packets.iter().map(Vec::as_slice).collect();
    let frames = join_packets(&borrowed, input.joins_udp);
    let again: Vec<Vec<u8>> = frames.iter().flat_map(|one| packets_of(one)).collect();
    let mut before: Vec<usize> = packets.iter().map(Vec::len).collect();
    let mut after: Vec<usize> = again.iter().map(Vec::len).collect();
    before.sort_unstable();
    after.sort_unstable();
    assert_eq!(before, after);
    let shared: Shared = Arc::new(input.frames.first().map(|one| one.to_vec()).unwrap_or_default());
    if let Some(Content::Train(train)) = split_frame(&shared) {
        let part = train.part(input.first, input.first.saturating_add(input.count));
        assert!(part.len() <= train.len());
        assert!(part.packet(part.len()).is_none());
        let _ = part.stripped(input.count);
    }
});
