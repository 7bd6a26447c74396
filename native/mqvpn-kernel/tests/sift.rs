//! What passes without a look from anybody, and that the rest stays as it came.

// A test stops at the first thing that is not as it should be.
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::unwrap_used)]

use mqvpn_kernel::flows::Flow;
use mqvpn_kernel::keys::{CipherSuite, PacketKeys};
use mqvpn_kernel::open::{Opened, Opener, ReceiveContext};
use mqvpn_kernel::packet_number::Length;
use mqvpn_kernel::seal::{Sealer, ShortHeader};
use mqvpn_kernel::sift::{Gate, Section};

const SUITES: [(CipherSuite, usize); 3] = [
    (CipherSuite::Aes128Gcm, 16),
    (CipherSuite::Aes256Gcm, 32),
    (CipherSuite::ChaCha20Poly1305, 32),
];
const CID: &[u8] = b"12345678";
const PREFIX: [u8; 2] = [0, 0];
const PLAIN: &[u8] = b"\x30\0\0";
const TAG_LEN: usize = 16;

fn keys(suite: CipherSuite, key_len: usize) -> PacketKeys {
    PacketKeys::new(suite, &[7; 32][..key_len], &[3; 12], &[9; 32][..key_len]).unwrap()
}

fn context(expected: u64) -> ReceiveContext {
    ReceiveContext { path_id: 5, expected, cid_len: CID.len(), key_phase: false }
}

fn gate(expected: u64) -> Gate {
    Gate { context: context(expected), prefix: PREFIX }
}

fn seal(keys: &PacketKeys, number: u64, number_length: u8, payload: &[u8]) -> Vec<u8> {
    let number_length = Length::new(number_length).unwrap();
    let header = ShortHeader { destination_cid: CID, key_phase: false, number_length };
    let mut packet = vec![0; header.sealed_len(payload.len())];
    Sealer::new(keys, header, 5).seal(number, &[payload], &mut packet).unwrap();
    packet
}

/// An IP packet from a source that is known by its last byte.
fn ip(source: u8, len: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, source, 10, 0, 0, 9];
    packet.resize(len, source);
    packet[2..4].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
    packet
}

fn datagram(front: &[u8], packet: &[u8]) -> Vec<u8> {
    [front, packet].concat()
}

/// Packets of source 1 are known.
fn is_known(flow: &Flow) -> bool {
    flow.as_bytes()[3] == 1
}

/// First number and count of what passes; nothing for what is left.
fn shapes(sections: &[Section]) -> Vec<Option<(u64, usize)>> {
    let of = |section: &Section| match section {
        Section::Taken { packet_number, packets, .. } => Some((*packet_number, packets.count)),
        Section::Left(_) => None,
    };
    sections.iter().map(of).collect()
}

#[test]
fn new_packets_of_known_flows_pass() {
    let keys = keys(CipherSuite::Aes128Gcm, 16);
    let packets = [ip(1, 60), ip(1, 60), ip(1, 40)];
    let sealed: Vec<Vec<u8>> =
        (70..).zip(&packets).map(|(at, it)| seal(&keys, at, 2, &datagram(PLAIN, it))).collect();
    let mut data = sealed.concat();
    let len = data.len();
    let mut gate = gate(70);
    let sections = gate.sift(&keys, &mut data, sealed[0].len(), is_known).sections;
    let [Section::Taken { packet_number: 70, packets: found, sealed_len }] = sections.as_slice()
    else {
        panic!("{sections:?}")
    };
    assert_eq!((found.count, found.total_len(), *sealed_len), (3, 160, len));
    for (index, packet) in packets.iter().enumerate() {
        assert_eq!(found.packet(&data, index).unwrap(), packet);
    }
    assert_eq!(gate.context.expected, 73);
}

#[test]
fn what_is_not_plain_is_left_as_it_came() {
    let mut longer = ip(1, 60);
    longer.push(0);
    let mut exhausted = ip(1, 60);
    exhausted[8] = 0;
    let payloads = [
        datagram(PLAIN, &ip(2, 60)),
        datagram(PLAIN, &longer),
        datagram(PLAIN, &exhausted),
        datagram(PLAIN, b""),
        datagram(b"\x30\0\x01", &ip(1, 60)),
        datagram(b"\x30\x04\0", &ip(1, 60)),
        datagram(b"\x31\0\0", &ip(1, 60)),
        datagram(b"\0\x30\0\0", &ip(1, 60)),
        b"\x01".to_vec(),
        b"\x30\0".to_vec(),
        b"\x30".to_vec(),
    ];
    for (suite, key_len) in SUITES {
        let keys = keys(suite, key_len);
        for number_length in 1..=4 {
            for payload in &payloads {
                let sealed = seal(&keys, 70, number_length, payload);
                let (mut data, mut gate) = (sealed.clone(), gate(70));
                let sections = gate.sift(&keys, &mut data, sealed.len(), is_known).sections;
                assert_eq!(sections, [Section::Left(0..sealed.len())], "{payload:?}");
                assert_eq!(data, sealed, "{payload:?}");
                assert_eq!(gate.context.expected, 71);
            }
        }
    }
}

#[test]
fn old_numbers_are_left() {
    let keys = keys(CipherSuite::Aes128Gcm, 16);
    let sealed = seal(&keys, 70, 2, &datagram(PLAIN, &ip(1, 60)));
    for expected in [71, 100] {
        let (mut data, mut gate) = (sealed.clone(), gate(expected));
        let sections = gate.sift(&keys, &mut data, sealed.len(), is_known).sections;
        assert_eq!(sections, [Section::Left(0..sealed.len())]);
        assert_eq!((data, gate.context.expected), (sealed.clone(), expected));
    }
    // A number that comes twice in one buffer is new once.
    let mut data = [sealed.clone(), sealed.clone()].concat();
    let sections = gate(70).sift(&keys, &mut data, sealed.len(), is_known).sections;
    assert_eq!(shapes(&sections), [Some((70, 1)), None]);
    assert_eq!(data[sealed.len()..], sealed);
}

#[test]
fn of_mixed_packets_each_is_judged() {
    for (suite, key_len) in SUITES {
        let keys = keys(suite, key_len);
        let sources = [1, 1, 2, 2, 1, 2, 1];
        let sealed: Vec<Vec<u8>> = (0..)
            .zip(sources)
            .map(|(at, source)| seal(&keys, at, 4, &datagram(PLAIN, &ip(source, 60))))
            .collect();
        let len = sealed[0].len();
        let mut data = sealed.concat();
        let sections = gate(0).sift(&keys, &mut data, len, is_known).sections;
        let expected = [Some((0, 2)), None, Some((4, 1)), None, Some((6, 1))];
        assert_eq!(shapes(&sections), expected);
        assert_eq!(sections[1], Section::Left(2 * len..4 * len));
        for (index, source) in sources.into_iter().enumerate() {
            if source == 2 {
                assert_eq!(data[index * len..(index + 1) * len], sealed[index], "packet {index}");
            }
        }
    }
}

#[test]
fn other_packets_in_between_keep_their_place() {
    let keys = keys(CipherSuite::Aes256Gcm, 32);
    let plain = |number| seal(&keys, number, 2, &datagram(PLAIN, &ip(1, 60)));
    let len = plain(0).len();
    let ack = seal(&keys, 2, 2, &[2; 63]);
    let mut data = [plain(0), plain(1), ack.clone(), plain(3), plain(9)].concat();
    let mut gate = gate(0);
    let sections = gate.sift(&keys, &mut data, len, is_known).sections;
    assert_eq!(shapes(&sections), [Some((0, 2)), None, Some((3, 1)), Some((9, 1))]);
    assert_eq!(data[2 * len..3 * len], ack);
    assert_eq!(gate.context.expected, 10);
}

#[test]
fn a_forged_packet_stays_forged_and_keeps_its_end() {
    for (suite, key_len) in SUITES {
        let keys = keys(suite, key_len);
        // Behind the sample, which decides what the header says.
        for at in [30, 40, 80, 89] {
            let mut forged = seal(&keys, 70, 2, &datagram(PLAIN, &ip(1, 60)));
            forged[at] ^= 1;
            let (mut data, mut gate) = (forged.clone(), gate(70));
            let sections = gate.sift(&keys, &mut data, forged.len(), is_known).sections;
            assert_eq!(sections, [Section::Left(0..forged.len())]);
            assert_eq!(data[..=CID.len()][1..], forged[..=CID.len()][1..]);
            assert_eq!(data[data.len() - TAG_LEN..], forged[forged.len() - TAG_LEN..]);
            assert_eq!(gate.context.expected, 70);
            assert_eq!(Opener::new(&keys, context(70)).open(&mut data), Opened::Forged);
        }
    }
}

#[test]
fn what_was_not_opened_is_left_as_it_came() {
    let keys = keys(CipherSuite::Aes128Gcm, 16);
    let sealed = seal(&keys, 70, 2, &datagram(PLAIN, &ip(1, 60)));
    let mut long = sealed.clone();
    long[0] |= 0x80;
    for (original, key_phase) in
        [(sealed.clone(), true), (long, false), (sealed[..20].to_vec(), false)]
    {
        let mut data = original.clone();
        let mut gate =
            Gate { context: ReceiveContext { key_phase, ..context(70) }, prefix: PREFIX };
        let sections = gate.sift(&keys, &mut data, original.len(), is_known).sections;
        assert_eq!(sections, [Section::Left(0..original.len())]);
        assert_eq!((data, gate.context.expected), (original, 70));
    }
}
