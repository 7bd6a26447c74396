//! What Python gets when it holds a bypass.

use std::time::Instant;

use mqvpn_kernel::frames::Content;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyIterator, PyList};

use crate::border::guarded;
use crate::bypass::report::{Arrival, Counts, Report, Sent};
use crate::trains::PacketTrain;

/// Counts of a socket: its key, received, bytes of it, sent, bytes of it, unusable, errors.
type SocketCounts = (i64, usize, usize, usize, usize, usize, Vec<i32>);

/// Sent, arrivals, unsent, parcels, counts of sockets, refused packets, error of the device, datagrams
/// that had to be told of at once.
pub type Happened<'py> = (
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Bound<'py, PyList>,
    Vec<SocketCounts>,
    usize,
    i32,
    usize,
);

/// Makes Python values of a report, and of the counts of sockets.
pub fn tell(
    py: Python<'_>,
    report: Report,
    counts: Vec<(i64, Counts)>,
    now: Instant,
) -> PyResult<Happened<'_>> {
    let sent = PyList::empty(py);
    for part in report.sent {
        let Sent { lane, first_number, shapes, flows, payloads, at } = part;
        let payloads = KeptParcels { contents: payloads };
        sent.append((lane, first_number, shapes, flows, payloads, age(at, now)))?;
    }
    let arrivals = PyList::empty(py);
    for arrival in report.arrivals {
        match arrival {
            Arrival::Taken(taken) => arrivals.append((
                PyBytes::new(py, &taken.cid),
                taken.first_number,
                taken.count,
                taken.udp_bytes,
                taken.ip_bytes,
                age(taken.at, now),
            ))?,
            Arrival::Handed(socket, batch, at) => {
                arrivals.append((socket, batch.into_read(py)?, age(at, now)))?;
            }
        }
    }
    let unsent = PyList::empty(py);
    for part in report.unsent {
        unsent.append((part.lane, PyBytes::new(py, &part.data), part.segment_len))?;
    }
    let parcels = parcels(py, &report.parcels)?;
    let counts = counts.into_iter().map(|(key, it)| {
        let (received, sent) = (it.received_count, it.sent_count);
        (key, received, it.received_bytes, sent, it.sent_bytes, it.unusable_count, it.errors)
    });
    let counts = counts.collect();
    let Report { refused_count, device_error, urgent_count, .. } = report;
    Ok((sent, arrivals, unsent, parcels, counts, refused_count, device_error, urgent_count))
}

/// What has left, for who may have to send it again: hardly ever somebody looks at it.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct KeptParcels {
    contents: Vec<Content>,
}

#[pymethods]
impl KeptParcels {
    fn __len__(&self) -> usize {
        self.contents.len()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        guarded(|| parcels(py, &self.contents)?.try_iter())
    }
}

fn parcels<'py>(py: Python<'py>, contents: &[Content]) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for content in contents {
        match content {
            Content::Packet(packet) => list.append(PyBytes::new(py, packet))?,
            Content::Train(train) => {
                list.append(Bound::new(py, PacketTrain { train: train.clone() })?)?;
            }
        }
    }
    Ok(list)
}

fn age(moment: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(moment).as_secs_f64()
}
