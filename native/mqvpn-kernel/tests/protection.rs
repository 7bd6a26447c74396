//! Vectors of the standards, and what a hostile peer sends.

// A test stops at the first thing that is not as it should be.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use mqvpn_kernel::keys::{CipherSuite, KeyLengthError, PacketKeys};
use mqvpn_kernel::open::{Opened, Opener, ReceiveContext};
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
