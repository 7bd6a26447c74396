//! TCP segments and UDP datagrams in IP packets, as far as offloads are concerned.

use crate::checksum::Sum;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
const TCP_MIN_LEN: usize = 20;
/// Flags and offset of a fragment; the bit "don't fragment" is left out.
const FRAGMENT_BITS: u16 = 0x3FFF;

/// IP version of a packet that has a whole header of that version, without options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V4,
    V6,
}

impl Version {
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? {
            0x45 if packet.len() >= IPV4_LEN => Some(Self::V4),
            first if first >> 4 == 6 && packet.len() >= IPV6_LEN => Some(Self::V6),
            _ => None,
        }
    }

    pub(crate) fn header_len(self) -> usize {
        match self {
            Self::V4 => IPV4_LEN,
            Self::V6 => IPV6_LEN,
        }
    }

    /// Sums the pseudo-header (RFC 9293 s3.1, RFC 8200 s8.1).
    pub(crate) fn pseudo_header(self, header: &[u8], protocol: u8, len: usize) -> Option<Sum> {
        let addresses = match self {
            Self::V4 => header.get(12..20)?,
            Self::V6 => header.get(8..40)?,
        };
        let len = u16::try_from(len).ok()?;
        Some(Sum::default().add(addresses).add_number(u16::from(protocol)).add_number(len))
    }

    /// Writes the length of the packet and, where there is one, the checksum of the IP header.
    pub(crate) fn set_len(self, header: &mut [u8], len: usize) -> Option<()> {
        match self {
            Self::V4 => {
                set_u16(header, 2, u16::try_from(len).ok()?)?;
                set_u16(header, 10, 0)?;
                let sum = Sum::default().add(header.get(..ihl(header)?)?).checksum();
                header.get_mut(10..12)?.copy_from_slice(&sum);
            }
            Self::V6 => set_u16(header, 4, u16::try_from(len.checked_sub(IPV6_LEN)?).ok()?)?,
        }
        Some(())
    }
}

/// Length of an IPv4 header in bytes.
fn ihl(header: &[u8]) -> Option<usize> {
    Some(usize::from(header.first()? & 0x0F).saturating_mul(4))
}

pub(crate) fn get_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn get_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn set_u16(bytes: &mut [u8], at: usize, value: u16) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

pub(crate) fn set_u32(bytes: &mut [u8], at: usize, value: u32) -> Option<()> {
    *bytes.get_mut(at..)?.first_chunk_mut()? = value.to_be_bytes();
    Some(())
}

/// Length of the TCP header at the start of some bytes.
pub(crate) fn tcp_header_len(bytes: &[u8]) -> Option<usize> {
    let len = usize::from(bytes.get(12)? >> 4).saturating_mul(4);
    (len >= TCP_MIN_LEN && len <= bytes.len()).then_some(len)
}

/// A TCP segment or UDP datagram whose checksums are right and whose header is an ordinary one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) version: Version,
    pub(crate) protocol: u8,
    /// IP header.
    pub(crate) ip: &'a [u8],
    /// TCP or UDP header.
    pub(crate) transport: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Looks at a packet; nothing if it is not plain, whole and intact.
    pub(crate) fn parse(packet: &'a [u8]) -> Option<Self> {
        let version = Version::of(packet)?;
        let (ip, behind) = packet.split_at_checked(version.header_len())?;
        let (protocol, len) = match version {
            Version::V4 => {
                if get_u16(ip, 6)? & FRAGMENT_BITS != 0 || !Sum::default().add(ip).is_valid() {
                    return None;
                }
                (*ip.get(9)?, usize::from(get_u16(ip, 2)?))
            }
            Version::V6 => (*ip.get(6)?, usize::from(get_u16(ip, 4)?).saturating_add(IPV6_LEN)),
        };
        let transport_len = match protocol {
            TCP => tcp_header_len(behind)?,
            UDP => UDP_LEN,
            _ => return None,
        };
        let (transport, payload) = behind.split_at_checked(transport_len)?;
        if len != packet.len() {
            return None;
        }
        if protocol == UDP
            && (usize::from(get_u16(transport, 4)?) != behind.len() || get_u16(transport, 6)? == 0)
        {
            return None;
        }
        let sum = version.pseudo_header(ip, protocol, behind.len())?.add(behind);
        sum.is_valid().then_some(Self { version, protocol, ip, transport, payload })
    }
}
