//! Any bytes may be read at once: whether they are for one connection is what a slow look says.
#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use mqvpn_kernel::open::share_destination;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    data: &'a [u8],
    segment_len: u16,
    cid_len: u8,
}

fuzz_target!(|input: Input| {
    let (segment_len, cid_len) = (usize::from(input.segment_len), usize::from(input.cid_len));
    let says = share_destination(input.data, segment_len, cid_len);
    if segment_len == 0 {
        return;
    }
    let stop = cid_len + 1;
    let mut heads = input.data.chunks(segment_len).map(|packet| packet.get(..stop));
    let Some(Some(first)) = heads.next() else {
        assert!(!says);
        return;
    };
    // The first byte differs from packet to packet, but all must have short headers.
    let is_shared = first[0] & 0x80 == 0
        && heads.all(|head| head.is_some_and(|one| one[0] & 0x80 == 0 && one[1..] == first[1..]));
    assert_eq!(says, is_shared);
});
