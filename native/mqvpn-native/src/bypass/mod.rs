//! `Bypass`: plain packets go from descriptor to descriptor while Python sleeps.
//!
//! A thread moves them between two rounds of Python, never during one: Python holds it, learns what
//! happened, does all that needs a protocol, and releases it. The thread knows no connections, only
//! lanes: keys, numbers and bounds that Python gave it, and whatever is not plain goes up unchanged.

// What PyO3 makes of a tuple arrives by value.
#![allow(clippy::needless_pass_by_value)]

mod flow_set;
mod happened;
mod inbound;
mod outbound;
mod report;
mod state;
mod thread;

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use mqvpn_kernel::open::{COMMON_PREFIX, ReceiveContext};
use mqvpn_kernel::packet_number;
use mqvpn_kernel::sift::Gate;
use nix::errno::Errno;
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::border::{guarded, number_of};
use crate::bypass::happened::Happened;
use crate::bypass::inbound::InboundLane;
use crate::bypass::outbound::{Load, OutboundLane};
use crate::bypass::report::Counts;
use crate::bypass::state::{Phase, Socket, State};
use crate::bypass::thread::Shared;
use crate::datagrams::{Peer, PeerKey};
use crate::destination::Destination;
use crate::device::with_device;
use crate::opening::next_of;
use crate::packet_keys::PacketKeys;
use crate::sealing::{Header, envelope_of};

pub use crate::bypass::flow_set::FlowSet;
pub use crate::bypass::happened::KeptParcels;

/// Longest connection ID (RFC 9000 s17.2).
const MAX_CID_LEN: usize = 20;
/// Type of a DATAGRAM frame that extends to the end of its packet (RFC 9221 s4).
const DATAGRAM_TO_END: u8 = 0x30;

/// A thread that moves plain packets between sockets and a TUN device.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct Bypass {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[pymethods]
impl Bypass {
    /// Start the thread, held.
    #[new]
    fn new(device: i32, joins_udp: bool) -> PyResult<Self> {
        guarded(|| {
            let state = State::new(duplicate(device)?, joins_udp);
            let shared = Arc::new(Shared::new(state).map_err(os_error)?);
            let of_thread = Arc::clone(&shared);
            let thread = Builder::new()
                .name("mqvpn-bypass".into())
                .spawn(move || of_thread.serve())
                .map_err(|error| PyOSError::new_err((error.raw_os_error(), error.to_string())))?;
            Ok(Self { shared, thread: Mutex::new(Some(thread)) })
        })
    }

    /// Return the descriptor that is readable when there is something to hold for.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        guarded(|| self.with_state(py, |_| Ok(self.shared.told.as_fd().as_raw_fd())))
    }

    /// Add a socket under a key; it is read when it is armed.
    fn add_socket(&self, py: Python<'_>, key: i64, descriptor: i32) -> PyResult<()> {
        guarded(|| {
            let descriptor = Arc::new(duplicate(descriptor)?);
            self.with_state(py, |state| {
                must_be_held(state)?;
                if state.sockets.contains_key(&key) {
                    return Err(PyValueError::new_err("there is a socket with this key"));
                }
                state.sockets.insert(key, Socket { descriptor, counts: Counts::default() });
                Ok(())
            })
        })
    }

    /// Remove a socket and close its lanes; its descriptor is not used any more.
    fn remove_socket(&self, py: Python<'_>, key: i64) -> PyResult<()> {
        guarded(|| {
            self.with_state(py, |state| {
                must_be_held(state)?;
                state.sockets.remove(&key);
                state.armed.retain(|other| *other != key);
                state.inbound.close_all_of(key);
                state.outbound.close_all_of(key);
                state.orders.has_changed = true;
                Ok(())
            })?;
            py.detach(|| self.shared.wait_for_thread(self.shared.lock()));
            Ok(())
        })
    }

    /// Let plain packets with one of our connection IDs pass to the device.
    #[allow(clippy::too_many_arguments)] // as Python calls it, by name
    fn open_inbound(
        &self,
        py: Python<'_>,
        cid: &[u8],
        socket: i64,
        peer: PeerKey,
        keys: &Bound<'_, PacketKeys>,
        path_id: u32,
        key_phase: u8,
        largest: i64,
        prefix: &[u8],
        flows: &Bound<'_, FlowSet>,
    ) -> PyResult<()> {
        guarded(|| {
            if cid.is_empty() || cid.len() > MAX_CID_LEN {
                return Err(PyValueError::new_err("a connection ID has 1 to 20 bytes"));
            }
            let context = ReceiveContext {
                path_id,
                expected: next_of(largest)?,
                cid_len: cid.len(),
                key_phase: key_phase != 0,
            };
            let lane = InboundLane {
                cid: cid.into(),
                socket,
                peer: Peer::of(&peer).ok_or_else(bad_address)?,
                keys: Arc::clone(&keys.get().keys),
                gate: Gate { context, prefix: prefix_of(prefix)? },
                flows: flows.get().flows.clone(),
                is_awaited: false,
            };
            self.with_state(py, |state| {
                must_have(state, socket)?;
                state.inbound.open(lane);
                Ok(())
            })
        })
    }

    /// Tell Python at once of all that comes with this connection ID and does not pass.
    fn hasten(&self, py: Python<'_>, cid: &[u8]) -> PyResult<()> {
        guarded(|| {
            self.with_state(py, |state| {
                state.inbound.hasten(cid);
                Ok(())
            })
        })
    }

    /// Let nothing pass any more that has this connection ID.
    fn close_inbound(&self, py: Python<'_>, cid: &[u8]) -> PyResult<()> {
        guarded(|| {
            self.with_state(py, |state| {
                state.inbound.close(cid);
                Ok(())
            })
        })
    }

    /// Let approved packets leave by a path, as far as there is room for them.
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // as Python calls it
    fn open_outbound(
        &self,
        py: Python<'_>,
        lane: i64,
        socket: i64,
        destination: PeerKey,
        keys: &Bound<'_, PacketKeys>,
        path_id: u32,
        header: Header<'_>,
        next_number: u64,
        prefix: &[u8],
        flows: &Bound<'_, FlowSet>,
        mtu: usize,
        credit: usize,
        max_packets: usize,
        keeps: bool,
    ) -> PyResult<()> {
        guarded(|| {
            let [p0, p1] = prefix_of(prefix)?;
            let numbers = packet_number::LIMIT.saturating_sub(next_number);
            let opened = OutboundLane {
                socket,
                destination: Destination::of(&destination).ok_or_else(bad_address)?,
                envelope: Arc::new(envelope_of(keys, &header, path_id)?),
                next_number,
                front: [DATAGRAM_TO_END, p0, p1],
                flows: flows.get().flows.clone(),
                mtu,
                credit,
                max_packets: max_packets.min(usize::try_from(numbers).unwrap_or(usize::MAX)),
                keeps,
                kept_bytes: 0,
                is_open: true,
                load: Load::default(),
            };
            self.with_state(py, |state| {
                must_have(state, socket)?;
                state.outbound.open(lane, opened);
                Ok(())
            })
        })
    }

    /// Let nothing leave by a lane any more, and forget what was approved for it.
    fn close_outbound(&self, py: Python<'_>, lane: i64) -> PyResult<()> {
        guarded(|| {
            self.with_state(py, |state| {
                state.outbound.close(lane);
                Ok(())
            })
        })
    }

    /// Let packets of the flow and ports of this one go by a lane; tell whether it takes any.
    fn approve(&self, py: Python<'_>, lane: i64, flow: i64, packet: &[u8]) -> PyResult<bool> {
        guarded(|| self.with_state(py, |state| Ok(state.outbound.approve(lane, flow, packet))))
    }

    /// Forget what was approved for a lane.
    fn forget_approvals(&self, py: Python<'_>, lane: i64) -> PyResult<()> {
        guarded(|| {
            self.with_state(py, |state| {
                state.outbound.forget(lane);
                Ok(())
            })
        })
    }

    /// Say what the thread reads; the rest is for Python to read.
    fn arm(&self, py: Python<'_>, device: bool, sockets: Vec<i64>) -> PyResult<()> {
        guarded(|| {
            self.with_state(py, |state| {
                for key in &sockets {
                    must_have(state, *key)?;
                }
                if state.device_is_armed != device || state.armed != sockets {
                    state.device_is_armed = device;
                    state.armed = sockets;
                    state.orders.has_changed = true;
                    self.shared.apply(state);
                }
                Ok(())
            })
        })
    }

    /// Stop the thread and return what it did and found since the last time.
    fn hold<'py>(&self, py: Python<'py>) -> PyResult<Happened<'py>> {
        guarded(|| {
            let (report, counts, now) = py.detach(|| {
                let mut state = self.shared.hold();
                must_work(&state)?;
                Ok::<_, PyErr>((state.report.take(), state.take_counts(), Instant::now()))
            })?;
            happened::tell(py, report, counts, now)
        })
    }

    /// Let the thread go on; what need not be known at once it tells after some seconds.
    fn release(&self, py: Python<'_>, linger: f64) -> PyResult<()> {
        guarded(|| {
            let linger = Duration::try_from_secs_f64(linger)
                .map_err(|error| PyValueError::new_err(error.to_string()))?;
            self.with_state(py, |state| {
                state.linger = linger;
                self.shared.release(state);
                Ok(())
            })
        })
    }

    /// End the thread and give back all descriptors; harmless when done twice.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            py.detach(|| self.end());
            Ok(())
        })
    }
}

impl Bypass {
    /// Works on what the thread works on, after a run in progress.
    fn with_state<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut State) -> PyResult<T> + Send,
    ) -> PyResult<T> {
        let work = |state: &mut State| {
            must_work(state)?;
            work(state)
        };
        if let Some(mut state) = self.shared.try_lock() {
            return work(&mut state);
        }
        py.detach(|| work(&mut self.shared.lock()))
    }

    fn end(&self) {
        let mut state = self.shared.hold();
        state.orders.phase = Phase::Closed;
        self.shared.apply(&mut state);
        drop(state);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // What ended it, if it was a bug, `hold` has told.
            let _ = thread.join();
        }
        self.shared.lock().clear();
    }
}

impl Drop for Bypass {
    fn drop(&mut self) {
        self.end();
    }
}

fn duplicate(descriptor: i32) -> PyResult<OwnedFd> {
    with_device(descriptor, |it| it.try_clone_to_owned().map_err(errno_of)).map_err(os_error)
}

fn errno_of(error: io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EBADF, Errno::from_raw)
}

fn os_error(error: Errno) -> PyErr {
    PyOSError::new_err((number_of(error), error.desc()))
}

fn must_work(state: &State) -> PyResult<()> {
    match state.orders.phase {
        Phase::Released | Phase::Held => Ok(()),
        Phase::Closed => Err(PyValueError::new_err("it was closed")),
        Phase::Broken => Err(PyRuntimeError::new_err("the native kernel has a bug: it panicked")),
    }
}

fn must_be_held(state: &State) -> PyResult<()> {
    if state.orders.phase == Phase::Held {
        Ok(())
    } else {
        Err(PyValueError::new_err("it is not held"))
    }
}

fn must_have(state: &State, socket: i64) -> PyResult<()> {
    if state.sockets.contains_key(&socket) {
        return Ok(());
    }
    Err(PyValueError::new_err("there is no socket with this key"))
}

fn prefix_of(prefix: &[u8]) -> PyResult<[u8; COMMON_PREFIX]> {
    prefix.try_into().map_err(|_| PyValueError::new_err("a prefix has 2 bytes"))
}

fn bad_address() -> PyErr {
    PyValueError::new_err("an address has 4 bytes or 16")
}
