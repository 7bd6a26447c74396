//! The data plane of mqvpn without Python: bytes in, bytes out.
//!
//! It knows packets as bytes: no connection state, no key schedule. Whatever comes from the network
//! leads to a value, never to a panic. `mqvpn_core/dataplane/reference.py` is its oracle.

#![forbid(unsafe_code)]

pub mod acknowledgement;
pub mod buffer;
pub mod chain;
mod checksum;
pub mod flows;
pub mod frame_room;
pub mod frames;
pub mod join;
pub mod keeping;
pub mod keys;
pub mod open;
pub mod packet_number;
mod reseal;
pub mod runs;
pub mod seal;
mod segment;
pub mod sift;
pub mod train;
