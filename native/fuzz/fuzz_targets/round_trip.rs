//! What is sealed opens to the same payload, and not any more with a bit changed.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::keys::{CipherSuite, PacketKeys};
use mqvpn_kernel::open::{Opened, Opener, ReceiveContext};
use mqvpn_kernel::packet_number::{LIMIT, Length};
use mqvpn_kernel::seal::{Sealer, ShortHeader};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    suite: u8,
    path_id: u32,
    packet_number: u64,
    number_length: u8,
    key_phase: bool,
    destination_cid: &'a [u8],
    first_part: &'a [u8],
    second_part: &'a [u8],
    changed_bit: usize,
}

fuzz_target!(|input: Input| {
    let (suite, key_len) = [
        (CipherSuite::Aes128Gcm, 16),
        (CipherSuite::Aes256Gcm, 32),
        (CipherSuite::ChaCha20Poly1305, 32),
    ][usize::from(input.suite % 3)];
    let keys = PacketKeys::new(suite, &[7; 32][..key_len], &[3; 12], &[9; 32][..key_len]).unwrap();
    let Some(number_length) = Length::new(input.number_length) else { return };
    let packet_number = input.packet_number % LIMIT;
    let header = ShortHeader {
        destination_cid: input.destination_cid,
        key_phase: input.key_phase,
        number_length,
    };
    let payload = [input.first_part, input.second_part].concat();
    let mut packet = vec![0; header.sealed_len(payload.len())];
    Sealer::new(&keys, header, input.path_id)
        .seal(packet_number, &[input.first_part, input.second_part], &mut packet)
        .unwrap();
    let context = ReceiveContext {
        path_id: input.path_id,
        expected: packet_number,
        cid_len: input.destination_cid.len(),
        key_phase: input.key_phase,
    };
    let opener = Opener::new(&keys, context);
    let mut changed = packet.clone();
    let Opened::Packet { packet_number: found, has_reserved_bits, plaintext } =
        opener.open(&mut packet)
    else {
        panic!("our own packet does not open")
    };
    assert_eq!((found, has_reserved_bits), (packet_number, false));
    let padding = header.padding(payload.len());
    assert_eq!(packet[plaintext.clone()][padding..], payload);
    assert!(packet[plaintext][..padding].iter().all(|byte| *byte == 0));
    let bit = input.changed_bit % (changed.len() * 8);
    changed[bit / 8] ^= 1 << (bit % 8);
    assert!(!matches!(opener.open(&mut changed), Opened::Packet { .. }));
});
