//! `Flight`: packets that are sealed when they are sent, in a buffer that stays in the caches.

// What PyO3 makes of a tuple arrives by value.
#![allow(clippy::needless_pass_by_value)]

use std::cell::RefCell;
use std::io::IoSlice;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use mqvpn_kernel::runs::{self, Run};
use mqvpn_kernel::seal::SealError;
use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::border::{guarded, number_of};
use crate::packet_keys::PacketKeys;
use crate::sealing::{Batch, Header, too_long};

thread_local! {
    /// Room for one run; sealed packets are needed no longer than a system call takes.
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Packets of one path with consecutive numbers that are not sealed yet.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct Flight {
    batch: Batch,
    runs: Vec<Run>,
}

/// Do what `seal_runs` does when it is asked for, or straight into a socket.
#[pyfunction]
pub fn plan_flight<'py>(
    keys: Bound<'py, PacketKeys>,
    header: Header<'py>,
    path_id: u32,
    first_packet_number: u64,
    payloads: &Bound<'py, PyAny>,
) -> PyResult<Flight> {
    guarded(|| {
        let batch = Batch::new(keys, header, path_id, first_packet_number, payloads)?;
        let runs = runs::plan(batch.sizes());
        Ok(Flight { batch, runs })
    })
}

#[pymethods]
impl Flight {
    /// Length of a packet, count of packets and bytes of what differs in these at most at its end.
    #[getter]
    fn shapes(&self) -> PyResult<Vec<(usize, usize, usize)>> {
        guarded(|| {
            let joined = runs::join_like(&self.runs);
            Ok(joined.iter().map(|run| (run.segment_len, run.count, run.total_len)).collect())
        })
    }

    /// Seal all runs from one on.
    fn sealed<'py>(&self, py: Python<'py>, first_run: usize) -> PyResult<Bound<'py, PyList>> {
        guarded(|| {
            let (before, runs) = self.split(first_run)?;
            self.batch.seal_runs(py, runs, before)
        })
    }

    /// Seal runs and send each at once, until one is not taken.
    ///
    /// Returns how many runs, packets and bytes were taken, and the error that ended it or 0.
    fn send(
        &self,
        py: Python<'_>,
        descriptor: i32,
        destination: (Vec<u8>, u16, u32, Vec<u8>),
    ) -> PyResult<(usize, usize, usize, i32)> {
        guarded(|| {
            let destination = Destination::of(&destination)
                .ok_or_else(|| PyValueError::new_err("an address has 4 bytes or 16"))?;
            py.detach(|| {
                ROOM.with_borrow_mut(|room| self.send_runs(descriptor, &destination, room))
            })
            .map_err(too_long)
        })
    }
}

impl Flight {
    /// Returns the runs from one on, and how many packets are in front of it.
    fn split(&self, first_run: usize) -> PyResult<(usize, &[Run])> {
        let (before, behind) = self
            .runs
            .split_at_checked(first_run)
            .ok_or_else(|| PyValueError::new_err("there are not so many runs"))?;
        Ok((before.iter().fold(0, |sum: usize, run| sum.saturating_add(run.count)), behind))
    }

    fn send_runs(
        &self,
        descriptor: i32,
        destination: &Destination,
        room: &mut Vec<u8>,
    ) -> Result<(usize, usize, usize, i32), SealError> {
        let (mut count, mut packets, mut bytes): (usize, usize, usize) = (0, 0, 0);
        for run in &self.runs {
            if room.len() < run.total_len {
                room.resize(run.total_len, 0);
            }
            let sealed = room.get_mut(..run.total_len).ok_or(SealError)?;
            self.batch.seal_into(packets, run.count, sealed)?;
            if let Err(error) = destination.send(descriptor, sealed, run) {
                return Ok((count, packets, bytes, number_of(error)));
            }
            count = count.saturating_add(1);
            packets = packets.saturating_add(run.count);
            bytes = bytes.saturating_add(run.total_len);
        }
        Ok((count, packets, bytes, 0))
    }
}

/// Where packets go, and from which of our addresses if the socket has several.
struct Destination {
    remote: SockaddrStorage,
    local: Option<IpAddr>,
}

impl Destination {
    fn of((host, port, scope, local): &(Vec<u8>, u16, u32, Vec<u8>)) -> Option<Self> {
        let remote = match address(host)? {
            IpAddr::V6(host) => SocketAddr::V6(SocketAddrV6::new(host, *port, 0, *scope)),
            host @ IpAddr::V4(_) => SocketAddr::new(host, *port),
        };
        let local = if local.is_empty() { None } else { Some(address(local)?) };
        Some(Self { remote: remote.into(), local })
    }

    fn send(&self, descriptor: i32, sealed: &[u8], run: &Run) -> nix::Result<()> {
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

fn address(packed: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(packed) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(packed).ok().map(|octets| Ipv6Addr::from(octets).into())
}

fn source_v4(address: Ipv4Addr) -> in_pktinfo {
    let s_addr = u32::from_ne_bytes(address.octets());
    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: in_addr { s_addr }, ipi_addr: in_addr { s_addr: 0 } }
}

fn source_v6(address: Ipv6Addr) -> in6_pktinfo {
    in6_pktinfo { ipi6_addr: in6_addr { s6_addr: address.octets() }, ipi6_ifindex: 0 }
}
