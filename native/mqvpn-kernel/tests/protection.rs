//! Vectors of the standards, and what a hostile peer sends.

// A test stops at the first thing that is not as it should be.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use mqvpn_kernel::keys::{CipherSuite, KeyLengthError, PacketKeys};
use mqvpn_kernel::open::{ChunkPart, Opened, Opener, Part, ReceiveContext};
use mqvpn_kernel::packet_number::Length;
use mqvpn_kernel::seal::{SealError, Sealer, ShortHeader};

const SUITES: [(CipherSuite, usize); 3] = [
    (CipherSuite::Aes128Gcm, 16),
    (CipherSuite::Aes256Gcm, 32),
    (CipherSuite::ChaCha20Poly1305, 32),
];
const CID: &[u8] = b"12345678";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn keys(suite: CipherSuite, key_len: usize) -> PacketKeys {
    PacketKeys::new(suite, &[7; 32][..key_len], &[3; 12], &[9; 32][..key_len]).unwrap()
}

fn header(number_length: u8) -> ShortHeader<'static> {
    let number_length = Length::new(number_length).unwrap();
    ShortHeader { destination_cid: CID, key_phase: false, number_length }
}

fn context(expected: u64) -> ReceiveContext {
    ReceiveContext { path_id: 5, expected, cid_len: CID.len(), key_phase: false }
}

fn sealed(keys: &PacketKeys, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; header(2).sealed_len(payload.len())];
    Sealer::new(keys, header(2), 5).seal(number, &[payload], &mut packet).unwrap();
    packet
}

#[test]
fn the_short_header_packet_of_rfc_9001() {
    // RFC 9001 appendix A.5.
    let keys = PacketKeys::new(
        CipherSuite::ChaCha20Poly1305,
        &bytes("c6d98ff3441c3fe1b2182094f69caa2ed4b716b65488960a7a984979fb23e1c8"),
        &bytes("e0459b3474bdd0e44a41c144"),
        &bytes("25a282b9e82f06f21f488917a4fc8f1b73573685608597d0efcb076b0ab7a7a4"),
    )
    .unwrap();
    let header = ShortHeader {
        destination_cid: b"",
        key_phase: false,
        number_length: Length::new(3).unwrap(),
    };
    let mut packet = vec![0; header.sealed_len(1)];
    Sealer::new(&keys, header, 0).seal(654_360_564, &[b"\x01"], &mut packet).unwrap();
    assert_eq!(packet, bytes("4cfe4189655e5cd55c41f69080575d7999c25a5bfb"));
    let context =
        ReceiveContext { path_id: 0, expected: 654_360_564, cid_len: 0, key_phase: false };
    assert_eq!(
        Opener::new(&keys, context).open(&mut packet),
        Opened::Packet { packet_number: 654_360_564, has_reserved_bits: false, plaintext: 4..5 }
    );
    assert_eq!(packet[4..5], [1]);
}

#[test]
fn the_nonce_of_the_multipath_extension() {
    // RFC 10069 s2.4: path 3, packet 54321.
    let iv = bytes("6b26114b9cba2b63a9e8dd4f");
    let keys = PacketKeys::new(CipherSuite::Aes128Gcm, &[0; 16], &iv, &[0; 16]).unwrap();
    let nonce = keys.nonces(3).nonce(54321);
    assert_eq!(nonce.as_ref().as_slice(), bytes("6b2611489cba2b63a9e8097e"));
}

#[test]
fn keys_of_another_length_are_refused() {
    for (suite, key_len) in SUITES {
        let (good, bad) = (vec![0; key_len], vec![0; key_len - 1]);
        for (key, iv, header) in [(&bad, 12, &good), (&good, 12, &bad), (&good, 11, &good)] {
            let made = PacketKeys::new(suite, key, &vec![0; iv], header);
            assert_eq!(made.err(), Some(KeyLengthError));
        }
    }
}

#[test]
fn a_payload_may_come_in_parts() {
    for (suite, key_len) in SUITES {
        let keys = keys(suite, key_len);
        let whole = sealed(&keys, 9, b"one payload");
        let mut packet = vec![0; whole.len()];
        let parts: [&[u8]; 4] = [b"one", b"", b" pay", b"load"];
        Sealer::new(&keys, header(2), 5).seal(9, &parts, &mut packet).unwrap();
        assert_eq!(packet, whole);
    }
}

#[test]
fn room_of_another_length_is_refused() {
    let keys = keys(CipherSuite::Aes128Gcm, 16);
    let sealer = Sealer::new(&keys, header(2), 5);
    let fits = header(2).sealed_len(7);
    for size in [0, fits - 1, fits + 1] {
        assert_eq!(sealer.seal(0, &[b"payload"], &mut vec![0; size]), Err(SealError));
    }
}

#[test]
fn whatever_is_cut_off_or_changed_does_not_open() {
    for (suite, key_len) in SUITES {
        let keys = keys(suite, key_len);
        let opener = Opener::new(&keys, context(70));
        let good = sealed(&keys, 70, b"payload of a packet");
        assert!(matches!(opener.open(&mut good.clone()), Opened::Packet { .. }));
        for size in 0..good.len() {
            let opened = opener.open(&mut good[..size].to_vec());
            let is_sampled = size >= 1 + CID.len() + 4 + 16;
            assert!(!matches!(opened, Opened::Packet { .. }));
            assert_eq!(opened == Opened::Malformed, !is_sampled, "{size} bytes");
        }
        for bit in 0..good.len() * 8 {
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(opener.open(&mut changed), Opened::Packet { .. }), "bit {bit}");
        }
    }
}

#[test]
fn of_a_forged_packet_the_end_stays() {
    // RFC 9000 s10.3.1: it may be a stateless reset token.
    for (suite, key_len) in SUITES {
        let keys = keys(suite, key_len);
        let mut packet = sealed(&keys, 70, b"payload of a packet");
        let end = packet.len() - 16;
        packet[end] ^= 1;
        let token = packet[end..].to_vec();
        assert_eq!(Opener::new(&keys, context(70)).open(&mut packet), Opened::Forged);
        assert_eq!(packet[end..], token);
    }
}

/// Length of every packet but the last of a batch.
const SEGMENT_LEN: usize = 60;

/// A packet of one segment, or a shorter one.
fn segment(keys: &PacketKeys, number: u64, front: &[u8], missing: usize) -> Vec<u8> {
    let room = SEGMENT_LEN - (1 + CID.len() + 2 + 16) - missing;
    let mut payload = front.to_vec();
    payload.resize(room, number.to_le_bytes()[0]);
    sealed(keys, number, &payload)
}

/// Numbers of the first packets and counts of what was found, trains that go on as one.
fn shapes(parts: &[ChunkPart]) -> Vec<(Option<u64>, usize)> {
    let mut found: Vec<(Option<u64>, usize)> = Vec::new();
    for ChunkPart { part, goes_on, .. } in parts {
        match part {
            Part::Train { payloads, .. } if *goes_on => {
                found.last_mut().unwrap().1 += payloads.count;
            }
            Part::Train { packet_number, payloads } => {
                found.push((Some(*packet_number), payloads.count));
            }
            Part::Single { opened: Opened::Packet { packet_number, .. }, .. } => {
                found.push((Some(*packet_number), 1));
            }
            Part::Single { .. } => found.push((None, 1)),
        }
    }
    found
}

#[test]
fn packets_in_several_buffers_are_opened_as_in_one() {
    let keys = keys(CipherSuite::Aes128Gcm, 16);
    let opener = Opener::new(&keys, context(70));
    let (plain, other): (&[u8], &[u8]) = (b"\x30\0\0", b"\x30\x01\0");
    let mut forged = segment(&keys, 79, plain, 0);
    forged[30] ^= 1;
    let batches = [
        (70..76).map(|number| segment(&keys, number, plain, 0)).collect(),
        // A gap, another prefix, another kind of packet, a forged one.
        vec![70, 71, 73, 74].into_iter().map(|number| segment(&keys, number, plain, 0)).collect(),
        (70..76)
            .map(|number| segment(&keys, number, if number < 73 { plain } else { other }, 0))
            .collect(),
        (70..76)
            .map(|number| segment(&keys, number, if number == 72 { b"\x01" } else { plain }, 0))
            .collect(),
        vec![segment(&keys, 78, plain, 0), forged, segment(&keys, 80, plain, 0)],
        // The last one is shorter.
        vec![
            segment(&keys, 70, plain, 0),
            segment(&keys, 71, plain, 0),
            segment(&keys, 72, plain, 9),
        ],
    ];
    for packets in batches {
        let packets: Vec<Vec<u8>> = packets;
        let mut whole = packets.concat();
        let expected = shapes(&opener.open_chunks([whole.as_mut_slice()], SEGMENT_LEN));
        let singly = opener.open_segments(&mut packets.concat(), SEGMENT_LEN);
        assert_eq!(expected.len(), singly.len());
        for cuts in 0..1_u32 << (packets.len() - 1) {
            let mut chunks: Vec<Vec<u8>> = vec![Vec::new()];
            for (index, packet) in packets.iter().enumerate() {
                if index > 0 && cuts >> (index - 1) & 1 == 1 {
                    chunks.push(Vec::new());
                }
                chunks.last_mut().unwrap().extend(packet);
            }
            let slices = chunks.iter_mut().map(Vec::as_mut_slice);
            assert_eq!(shapes(&opener.open_chunks(slices, SEGMENT_LEN)), expected, "{cuts:b}");
        }
    }
}

#[test]
fn the_other_key_phase_is_reported_and_left_alone() {
    let keys = keys(CipherSuite::Aes256Gcm, 32);
    let good = sealed(&keys, 70, b"payload");
    let mut packet = good.clone();
    let other = ReceiveContext { key_phase: true, ..context(70) };
    let opened = Opener::new(&keys, other).open(&mut packet);
    assert_eq!(opened, Opened::OtherPhase { packet_number: 70 });
    assert_eq!(packet, good);
}

#[test]
fn impossible_lengths_of_connection_ids_do_no_harm() {
    let keys = keys(CipherSuite::Aes128Gcm, 16);
    for cid_len in [20, 1000, usize::MAX] {
        let far = ReceiveContext { cid_len, ..context(0) };
        let mut packet = sealed(&keys, 0, b"payload");
        assert_eq!(Opener::new(&keys, far).open(&mut packet), Opened::Malformed);
    }
}
