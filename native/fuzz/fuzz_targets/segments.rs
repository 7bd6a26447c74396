//! Any bytes may arrive back to back: opening them together gives what opening them singly gives.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::keys::{CipherSuite, PacketKeys};
use mqvpn_kernel::open::{Opened, Opener, Part, ReceiveContext, share_destination};
use mqvpn_kernel::packet_number::Length;
use mqvpn_kernel::seal::{Sealer, ShortHeader};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    first: u16,
    /// Number, payload and whether it is one DATAGRAM frame, for each packet.
    packets: Vec<(u8, &'a [u8], bool)>,
    segment_len: u16,
    noise: Vec<(u16, u8)>,
}

fuzz_target!(|input: Input| {
    let keys = PacketKeys::new(CipherSuite::Aes128Gcm, &[7; 16], &[3; 12], &[9; 16]).unwrap();
    let number_length = Length::new(2).unwrap();
    let header = ShortHeader { destination_cid: b"12345678", key_phase: false, number_length };
    let sealer = Sealer::new(&keys, header, 1);
    let mut data = Vec::new();
    let mut number = u64::from(input.first);
    for (step, payload, is_datagram) in &input.packets {
        number += u64::from(step % 3);
        let front: &[u8] = if *is_datagram { b"\x30\0\0" } else { b"" };
        let mut packet = vec![0; header.sealed_len(front.len() + payload.len())];
        sealer.seal(number, &[front, payload], &mut packet).unwrap();
        data.extend(packet);
    }
    for (at, value) in &input.noise {
        if let Some(byte) = data.get_mut(usize::from(*at)) {
            *byte ^= value;
        }
    }
    let context = ReceiveContext {
        path_id: 1,
        expected: u64::from(input.first),
        cid_len: 8,
        key_phase: false,
    };
    let opener = Opener::new(&keys, context);
    let segment_len = usize::from(input.segment_len).max(1);
    let _ = share_destination(&data, segment_len, 8);
    // In two buffers, or more, nothing else is found.
    let mut chunks: Vec<Vec<u8>> =
        data.chunks(segment_len * 3).map(<[u8]>::to_vec).collect();
    let count = opener
        .open_chunks(chunks.iter_mut().map(Vec::as_mut_slice), segment_len)
        .iter()
        .filter(|part| !part.goes_on)
        .count();
    assert_eq!(count, opener.open_segments(&mut data.clone(), segment_len).len());
    let mut together = data.clone();
    let parts = opener.open_segments(&mut together, segment_len);
    let mut singly = data.chunks(segment_len).map(|packet| {
        let mut buffer = packet.to_vec();
        (opener.open(&mut buffer), buffer)
    });
    for part in parts {
        match part {
            Part::Single { opened, .. } => assert_eq!(singly.next().unwrap().0, opened),
            Part::Train { packet_number, payloads } => {
                for index in 0..payloads.count {
                    let (opened, buffer) = singly.next().unwrap();
                    let Opened::Packet { packet_number: number, plaintext, .. } = opened else {
                        panic!("a packet in a train does not open")
                    };
                    assert_eq!(number, packet_number + index as u64);
                    let start = payloads.start + index * payloads.stride;
                    let is_last = index + 1 == payloads.count;
                    let len = if is_last { payloads.last_len } else { payloads.len };
                    assert_eq!(buffer[plaintext][1..], together[start..start + len]);
                }
            }
        }
    }
    assert!(singly.next().is_none());
});
