//! `Flight`: packets that are sealed when they are sent, in a buffer that stays in the caches.

// What PyO3 makes of a tuple arrives by value.
#![allow(clippy::needless_pass_by_value)]

use std::cell::RefCell;

use mqvpn_kernel::runs::{self, Run};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::batch::Batch;
use crate::border::guarded;
use crate::datagrams::PeerKey;
use crate::destination::Destination;
use crate::packet_keys::PacketKeys;
use crate::sealing::{Header, batch_of, seal_list, too_long};

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
        let batch = batch_of(&keys, &header, path_id, first_packet_number, payloads)?;
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
            seal_list(py, &self.batch, runs, before)
        })
    }

    /// Seal runs and send each at once, until one is not taken.
    ///
    /// Returns how many runs, packets and bytes were taken, and the error that ended it or 0.
    fn send(
        &self,
        py: Python<'_>,
        descriptor: i32,
        destination: PeerKey,
    ) -> PyResult<(usize, usize, usize, i32)> {
        guarded(|| {
            let destination = Destination::of(&destination)
                .ok_or_else(|| PyValueError::new_err("an address has 4 bytes or 16"))?;
            py.detach(|| {
                ROOM.with_borrow_mut(|room| {
                    self.batch.send_runs(&self.runs, descriptor, &destination, room)
                })
            })
            .map(|sent| (sent.runs, sent.packets, sent.bytes, sent.error))
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
}
