//! What packets have in common that go the same way: flows, and flows with their ports.

use crate::segment::{TCP, UDP, Version, get_u16};
use crate::train::{Train, flow_of, whole_flow_of};

/// Both addresses of IPv6 and the protocol.
const MAX_FLOW: usize = 33;
const PORTS_LEN: usize = 4;
/// "More fragments" and the offset of an IPv4 packet.
const FRAGMENT_BITS: u16 = 0x3FFF;

/// Source, destination and protocol of a packet, as [`Train::flow`] gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    bytes: [u8; MAX_FLOW],
    len: usize,
}

impl Flow {
    /// Looks at a packet; nothing if it has IPv4 options, a wrong length or no hops left.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        Self::join(whole_flow_of(packet)?)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn join([addresses, protocol]: [&[u8]; 2]) -> Option<Self> {
        let mut bytes = [0; MAX_FLOW];
        let (front, behind) = bytes.split_at_mut_checked(addresses.len())?;
        front.copy_from_slice(addresses);
        behind.get_mut(..protocol.len())?.copy_from_slice(protocol);
        Some(Self { bytes, len: addresses.len().checked_add(protocol.len())? })
    }
}

/// A flow and its ports: source and destination of TCP and UDP, none for anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FiveTuple {
    flow: Flow,
    /// Fragments have none, so that all of a packet go the same way.
    ports: Option<[u8; PORTS_LEN]>,
}

impl FiveTuple {
    /// Looks at the headers of a packet or super-packet, whatever lengths they say.
    #[must_use]
    pub fn of(headers: &[u8]) -> Option<Self> {
        let version = Version::of(headers)?;
        let parts = flow_of(headers)?;
        let [_, protocol] = parts;
        let has_ports = matches!(protocol, [TCP | UDP])
            && (version == Version::V6 || get_u16(headers, 6)? & FRAGMENT_BITS == 0);
        let ports = if has_ports {
            Some(*headers.get(version.header_len()..)?.first_chunk::<PORTS_LEN>()?)
        } else {
            None
        };
        Some(Self { flow: Flow::join(parts)?, ports })
    }

    /// Returns the flow without the ports.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Looks at the first packet of a train; the others of one that was read are of the same flow.
    #[must_use]
    pub fn of_train(train: &Train) -> Option<Self> {
        Self::of(train.leading()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, fragment: u16, behind: &[u8]) -> Vec<u8> {
        let mut packet =
            vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        packet.extend_from_slice(behind);
        let len = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[6..8].copy_from_slice(&fragment.to_be_bytes());
        packet
    }

    fn v6(next_header: u8, behind: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 40];
        packet[0] = 0x60;
        packet[5] = u8::try_from(behind.len()).unwrap();
        packet[6] = next_header;
        packet[7] = 64;
        packet[23] = 1;
        packet[39] = 2;
        packet.extend_from_slice(behind);
        packet
    }

    #[test]
    fn flows_are_addresses_and_protocol() {
        let packet = v4(6, 0, &[1; 20]);
        assert_eq!(Flow::of(&packet).unwrap().as_bytes(), [10, 0, 0, 1, 10, 0, 0, 2, 6]);
        assert_eq!(Flow::of(&v6(17, &[0; 8])).unwrap().as_bytes().len(), MAX_FLOW);
    }

    #[test]
    fn what_is_not_plain_has_no_flow() {
        let mut longer = v4(6, 0, &[1; 20]);
        longer.push(0);
        let mut exhausted = v4(6, 0, &[1; 20]);
        exhausted[8] = 0;
        let mut options = v4(6, 0, &[1; 20]);
        options[0] = 0x46;
        for packet in [longer, exhausted, options, vec![], vec![0x45; 19], vec![0x60; 39]] {
            assert_eq!(Flow::of(&packet), None);
        }
    }

    #[test]
    fn ports_tell_flows_apart_but_not_fragments() {
        let of = |packet: &[u8]| FiveTuple::of(packet).unwrap();
        assert_ne!(of(&v4(6, 0, &[0, 1, 0, 2])), of(&v4(6, 0, &[0, 1, 0, 3])));
        assert_ne!(of(&v4(6, 0, &[0, 1, 0, 2])), of(&v4(17, 0, &[0, 1, 0, 2])));
        assert_eq!(of(&v4(6, 0x4000, &[0, 1, 0, 2])), of(&v4(6, 0, &[0, 1, 0, 2])));
        for fragment in [0x2000, 1, 0x1FFF] {
            assert_eq!(of(&v4(17, fragment, &[0, 1, 0, 2])), of(&v4(17, 0x2001, b"")));
            assert_ne!(of(&v4(17, fragment, &[0; 4])), of(&v4(17, 0, &[0; 4])));
        }
        assert_eq!(of(&v4(1, 0, &[8, 0])), of(&v4(1, 0, &[9, 9])));
        assert_ne!(of(&v6(6, &[0, 1, 0, 2])), of(&v6(6, &[0, 1, 0, 3])));
        assert_eq!(of(&v6(44, &[0, 1, 0, 2])), of(&v6(44, &[0, 1, 0, 3])));
    }

    #[test]
    fn ports_that_are_not_there_are_not_guessed() {
        assert_eq!(FiveTuple::of(&v4(6, 0, &[0, 1, 0])), None);
        assert_eq!(FiveTuple::of(&v6(17, b"")), None);
    }
}
