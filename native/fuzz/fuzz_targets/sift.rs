//! Any bytes may arrive back to back: what passes is what opens, and the rest stays as it came.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::keys::{CipherSuite, PacketKeys};
use mqvpn_kernel::open::{Opened, Opener, ReceiveContext};
use mqvpn_kernel::packet_number::Length;
use mqvpn_kernel::seal::{Sealer, ShortHeader};
use mqvpn_kernel::sift::{Gate, Section};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    first: u16,
    expected: u16,
    number_length: u8,
    suite: u8,
    /// Step of the number, what it is, source, and payload of each packet.
    packets: Vec<(u8, u8, u8, &'a [u8])>,
    segment_len: u16,
    noise: Vec<(u16, u8)>,
}

fn keys(suite: u8) -> PacketKeys {
    let (suite, len) = match suite % 3 {
        0 => (CipherSuite::Aes128Gcm, 16),
        1 => (CipherSuite::Aes256Gcm, 32),
        _ => (CipherSuite::ChaCha20Poly1305, 32),
    };
    PacketKeys::new(suite, &[7; 32][..len], &[3; 12], &[9; 32][..len]).unwrap()
}

fn ip(source: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, source, 10, 0, 0, 9];
    packet.extend(payload);
    let len = u16::try_from(packet.len()).unwrap_or_default();
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    packet
}

fuzz_target!(|input: Input| {
    let keys = keys(input.suite);
    let number_length = Length::new(input.number_length % 4 + 1).unwrap();
    let header = ShortHeader { destination_cid: b"12345678", key_phase: false, number_length };
    let sealer = Sealer::new(&keys, header, 1);
    let mut data = Vec::new();
    let mut number = u64::from(input.first);
    for (step, kind, source, payload) in &input.packets {
        number += u64::from(step % 3);
        let front: &[u8] = match kind % 4 {
            0 => b"\x31\0\0",
            1 => b"\x30\0\x02",
            _ => b"\x30\0\0",
        };
        let packet_of = ip(source % 3, payload);
        let mut packet = vec![0; header.sealed_len(front.len() + packet_of.len())];
        sealer.seal(number, &[front, &packet_of], &mut packet).unwrap();
        data.extend(packet);
    }
    for (at, value) in &input.noise {
        if let Some(byte) = data.get_mut(usize::from(*at)) {
            *byte ^= value;
        }
    }
    let expected = u64::from(input.expected);
    let context = ReceiveContext { path_id: 1, expected, cid_len: 8, key_phase: false };
    let opener = Opener::new(&keys, context);
    let segment_len = usize::from(input.segment_len).max(1);
    let mut sifted = data.clone();
    let mut gate = Gate { context, prefix: [0, 0] };
    let sections = gate.sift(&keys, &mut sifted, segment_len, |flow| flow.as_bytes()[3] == 1).sections;
    let open = |place: std::ops::Range<usize>| {
        let mut buffer = data[place].to_vec();
        (opener.open(&mut buffer), buffer)
    };
    let (mut end, mut next) = (0, expected);
    for section in &sections {
        match section {
            Section::Left(place) => {
                assert_eq!(place.start, end);
                end = place.end;
                for start in place.clone().step_by(segment_len) {
                    let stop = (start + segment_len).min(data.len());
                    match open(start..stop).0 {
                        Opened::Forged => {
                            let tag = stop - 16..stop;
                            assert_eq!(sifted[tag.clone()], data[tag]);
                        }
                        _ => assert_eq!(sifted[start..stop], data[start..stop]),
                    }
                }
            }
            Section::Taken { packet_number, packets, sealed_len } => {
                assert!(*packet_number >= next && packets.count > 0);
                next = packet_number + packets.count as u64;
                for index in 0..packets.count {
                    let start = end + index * segment_len;
                    let (opened, buffer) = open(start..(start + segment_len).min(data.len()));
                    let Opened::Packet { packet_number: found, plaintext, .. } = opened else {
                        panic!("a packet that passes does not open")
                    };
                    assert_eq!(found, packet_number + index as u64);
                    let plaintext = &buffer[plaintext];
                    assert_eq!(plaintext[..3], *b"\x30\0\0");
                    let packet = packets.packet(&sifted, index).unwrap();
                    assert_eq!(plaintext[3..], *packet);
                    assert_eq!((packet[0], packet[15]), (0x45, 1));
                }
                end += sealed_len;
            }
        }
    }
    assert_eq!(end, data.len());
    assert!(gate.context.expected >= next);
});
