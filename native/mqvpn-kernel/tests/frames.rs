//! Packets of a TUN device: split, joined, and what no host should hand over.

// A test stops at the first thing that is not as it should be.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::sync::Arc;

use mqvpn_kernel::frames::{Content, FRAME_HEADER_LEN, split_frame};
use mqvpn_kernel::join;
use mqvpn_kernel::train::{Equal, Shared, Train};

const HEADERS: usize = 40;

/// Makes the frame of a TCP packet over IPv4 that is to be split.
fn frame(payload: &[u8], segment_len: u16) -> Vec<u8> {
    let mut frame = vec![1, 1];
    for field in [0, segment_len, 20, 16] {
        frame.extend(field.to_ne_bytes());
    }
    let len = u16::try_from(HEADERS + payload.len()).unwrap().to_be_bytes();
    frame.extend([0x45, 0, len[0], len[1], 0, 7, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    frame.extend([0x0F, 0xA0, 0, 80, 0, 0, 0, 9, 0, 0, 0, 1, 0x50, 0x18, 2, 0, 0, 0, 0, 0]);
    frame.extend(payload);
    frame
}

fn content(frame: &[u8]) -> Option<Content> {
    let shared: Shared = Arc::new(frame.to_vec());
    split_frame(&shared)
}

fn train(frame: &[u8]) -> Train {
    match content(frame) {
        Some(Content::Train(train)) => train,
        _ => panic!("no train"),
    }
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

fn packets(train: &Train) -> Vec<Vec<u8>> {
    (0..train.len()).map(|index| train.packet(index).unwrap().to_vec()).collect()
}

#[test]
fn a_frame_is_split_and_its_packets_joined_again() {
    let payload: Vec<u8> = (0..=255).cycle().take(2500).collect();
    let whole = frame(&payload, 1000);
    let made = packets(&train(&whole));
    assert_eq!(made.iter().map(Vec::len).collect::<Vec<_>>(), [1040, 1040, 540]);
    // Only the last one has PSH.
    assert_eq!(made.iter().map(|packet| packet[33]).collect::<Vec<_>>(), [0x10, 0x10, 0x18]);
    let borrowed: Vec<&[u8]> = made.iter().map(Vec::as_slice).collect();
    let joined = join_packets(&borrowed, true);
    assert_eq!(joined.len(), 1);
    assert_eq!(joined[0][FRAME_HEADER_LEN + HEADERS..], payload);
    assert_eq!(packets(&train(&joined[0])), made);
}

#[test]
fn a_damaged_packet_is_not_joined() {
    let mut made = packets(&train(&frame(&[7; 3000], 1000)));
    made[1][100] ^= 1;
    let borrowed: Vec<&[u8]> = made.iter().map(Vec::as_slice).collect();
    let joined = join_packets(&borrowed, true);
    assert_eq!(joined.iter().map(Vec::len).collect::<Vec<_>>(), [1050; 3]);
}

#[test]
fn frames_that_make_no_sense_are_refused() {
    let good = frame(&[7; 3000], 1000);
    assert!(content(&good[..FRAME_HEADER_LEN - 1]).is_none());
    for (at, value) in [(1, 3), (1, 4), (1, 0x7F), (6, 255), (7, 255), (10, 0x55), (10, 0x46)] {
        let mut bad = good.clone();
        bad[at] = value;
        assert!(content(&bad).is_none(), "byte {at} is {value}");
    }
    let mut endless = good.clone();
    endless[4..6].fill(0);
    assert!(content(&endless).is_none());
    assert!(content(&good[..FRAME_HEADER_LEN + HEADERS]).is_none());
}

#[test]
fn nothing_lies_beyond_a_train() {
    let all = train(&frame(&[7; 3000], 1000));
    assert!(all.packet(3).is_none());
    assert_eq!(all.part(2, 9).len(), 1);
    assert!(all.part(5, 1).is_empty());
    assert_eq!(all.part(5, 1).total_len(), 0);
    assert!(all.stripped(1).is_none());
    let beyond = Equal { start: 9, stride: usize::MAX, len: 4, last_len: 4, count: 2 };
    let broken = Train::from_equal(Arc::new(vec![0; 10]), beyond);
    assert!(broken.packet(0).is_none());
    assert!(broken.packet(1).is_none());
    assert!(broken.stripped(5).is_none());
    assert_eq!(broken.flow(), None);
}
