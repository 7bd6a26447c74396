//! Where sealed packets go.

use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mqvpn_kernel::runs::Run;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};

use crate::datagrams::{PeerKey, address};

/// Where packets go, and from which of our addresses if the socket has several.
pub struct Destination {
    remote: SockaddrStorage,
    local: Option<IpAddr>,
}

impl Destination {
    /// Takes what Python says; nothing if an address has the wrong length.
    pub fn of((host, port, scope, local): &PeerKey) -> Option<Self> {
        let remote = match address(host)? {
            IpAddr::V6(host) => SocketAddr::V6(SocketAddrV6::new(host, *port, 0, *scope)),
            host @ IpAddr::V4(_) => SocketAddr::new(host, *port),
        };
        let local = if local.is_empty() { None } else { Some(address(local)?) };
        Some(Self { remote: remote.into(), local })
    }

    /// Sends sealed packets with one system call.
    pub fn send(&self, descriptor: i32, sealed: &[u8], run: &Run) -> nix::Result<()> {
        let segment_len = u16::try_from(run.segment_len).map_err(|_| Errno::EMSGSIZE)?;
        let (source4, source6);
        let mut control = Vec::with_capacity(2);
        match self.local {
            Some(IpAddr::V4(local)) => {
                source4 = source_v4(local);
                control.push(ControlMessage::Ipv4PacketInfo(&source4));
            }
            Some(IpAddr::V6(local)) => {
                source6 = source_v6(local);
                control.push(ControlMessage::Ipv6PacketInfo(&source6));
            }
            None => {}
        }
        if run.count > 1 {
            control.push(ControlMessage::UdpGsoSegments(&segment_len));
        }
        let parts = [IoSlice::new(sealed)];
        loop {
            match sendmsg(descriptor, &parts, &control, MsgFlags::empty(), Some(&self.remote)) {
                Err(Errno::EINTR) => {}
                outcome => return outcome.map(|_| ()),
            }
        }
    }
}

fn source_v4(address: Ipv4Addr) -> in_pktinfo {
    let s_addr = u32::from_ne_bytes(address.octets());
    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: in_addr { s_addr }, ipi_addr: in_addr { s_addr: 0 } }
}

fn source_v6(address: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo { ipi6_addr: in6_addr { s6_addr: address.octets() }, ipi6_ifindex: 0 }
}
