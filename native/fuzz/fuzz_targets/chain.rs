//! Any frames may follow one another: taking them apart together gives the packets that taking
//! each apart gives, and coupling these leaves them as they are.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::chain::split_frames;
use mqvpn_kernel::coupling::couple;
use mqvpn_kernel::frames::{Content, split_frame};
use mqvpn_kernel::train::Shared;

fn packets_of(content: &Content) -> Vec<Vec<u8>> {
    match content {
        Content::Packet(packet) => vec![packet.clone()],
        Content::Train(train) => {
            (0..train.len()).map(|index| train.packet(index).unwrap().to_vec()).collect()
        }
    }
}

fuzz_target!(|frames: Vec<&[u8]>| {
    let shared: Vec<Shared> = frames.iter().map(|one| Arc::new(one.to_vec()) as Shared).collect();
    let contents = split_frames(&shared);
    let mut together: Vec<Vec<u8>> = contents.iter().flat_map(packets_of).collect();
    let coupled: Vec<Vec<u8>> = couple(contents).iter().flat_map(packets_of).collect();
    assert_eq!(coupled, together);
    let mut singly: Vec<Vec<u8>> =
        shared.iter().filter_map(split_frame).flat_map(|one| packets_of(&one)).collect();
    // The order of packets of a flow stays, that among flows does not.
    together.sort_unstable();
    singly.sort_unstable();
    assert_eq!(together, singly);
});
