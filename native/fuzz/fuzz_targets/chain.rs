//! Any frames may follow one another: reading them one after the other and taking them apart
//! together gives the packets that taking each apart gives.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::chain::split_frames;
use mqvpn_kernel::frame_room::FrameRoom;
use mqvpn_kernel::frames::{Content, split_frame};
use mqvpn_kernel::train::Shared;

/// Small enough that inputs have frames and trains on both sides of it.
const MIN_KEPT_LEN: usize = 200;

fn packets_of(content: &Content) -> Vec<Vec<u8>> {
    match content {
        Content::Packet(packet) => vec![packet.clone()],
        Content::Train(train) => {
            (0..train.len()).map(|index| train.packet(index).unwrap().to_vec()).collect()
        }
    }
}

fuzz_target!(|frames: Vec<&[u8]>| {
    let mut room = FrameRoom::keeping_from(MIN_KEPT_LEN);
    for frame in &frames {
        if let Some(slot) = room.slot().get_mut(..frame.len()) {
            slot.copy_from_slice(frame);
            room.take(frame.len());
        }
    }
    let mut together: Vec<Vec<u8>> =
        split_frames(room.finish()).iter().flat_map(packets_of).collect();
    let shared = frames.iter().map(|one| Arc::new(one.to_vec()) as Shared);
    let mut singly: Vec<Vec<u8>> =
        shared.filter_map(|one| split_frame(&one)).flat_map(|one| packets_of(&one)).collect();
    // The order of packets of a flow stays, that among flows does not.
    together.sort_unstable();
    singly.sort_unstable();
    assert_eq!(together, singly);
});
