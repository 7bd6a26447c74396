//! Any bytes may arrive: opening them ends with a value, and only our own packets are authentic.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::keys::{CipherSuite, PacketKeys};
use mqvpn_kernel::open::{Opened, Opener, ReceiveContext};

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    suite: u8,
    path_id: u32,
    expected: u64,
    cid_len: u16,
    key_phase: bool,
    packet: &'a [u8],
}

fuzz_target!(|input: Input| {
    let (suite, key_len) = [
        (CipherSuite::Aes128Gcm, 16),
        (CipherSuite::Aes256Gcm, 32),
        (CipherSuite::ChaCha20Poly1305, 32),
    ][usize::from(input.suite % 3)];
    let keys = PacketKeys::new(suite, &[7; 32][..key_len], &[3; 12], &[9; 32][..key_len]).unwrap();
    let context = ReceiveContext {
        path_id: input.path_id,
        expected: input.expected,
        cid_len: usize::from(input.cid_len),
        key_phase: input.key_phase,
    };
    let mut buffer = input.packet.to_vec();
    match Opener::new(&keys, context).open(&mut buffer) {
        Opened::Packet { .. } => panic!("a forgery authenticates"),
        Opened::OtherPhase { .. } | Opened::Malformed => assert_eq!(buffer, input.packet),
        Opened::Forged => assert_eq!(buffer.len(), input.packet.len()),
    }
});
