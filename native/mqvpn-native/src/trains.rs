//! `PacketTrain`, `split_frames` and `join_packets` as Python sees them.

use std::sync::Arc;

use mqvpn_kernel::chain::split_frames as split;
use mqvpn_kernel::frame_room::Piece;
use mqvpn_kernel::frames::{Content, FRAME_HEADER_LEN};
use mqvpn_kernel::join::join_packets as join;
use mqvpn_kernel::train::Train;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use crate::border::{guarded, unlocked};
use crate::device::{with_device, write_frame};

/// IP packets that travel together; all of one length but the last, which may be shorter.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct PacketTrain {
    pub train: Train,
}

#[pymethods]
impl PacketTrain {
    fn __len__(&self) -> usize {
        self.train.len()
    }

    /// Length of each packet but the last.
    #[getter]
    fn packet_bytes(&self) -> usize {
        self.train.packet_len(0)
    }

    /// Length of all packets together.
    #[getter]
    fn total_bytes(&self) -> usize {
        self.train.total_len()
    }

    /// The first packet.
    #[getter]
    fn head<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        guarded(|| self.make(py, 0))
    }

    /// Source, destination and protocol if all packets have the same.
    #[getter]
    fn flow<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        guarded(|| Ok(self.train.flow().map(|flow| PyBytes::new(py, &flow))))
    }

    /// Make the packets, one by one.
    fn packets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        guarded(|| {
            let list = PyList::empty(py);
            for index in 0..self.train.len() {
                list.append(self.make(py, index)?)?;
            }
            Ok(list)
        })
    }

    /// Return some of the packets, without copying them.
    fn part(&self, start: usize, stop: usize) -> PyResult<Self> {
        guarded(|| Ok(Self { train: self.train.part(start, stop) }))
    }

    /// Take bytes off the front of each packet.
    fn stripped(&self, count: usize) -> PyResult<Self> {
        guarded(|| {
            let train = self
                .train
                .stripped(count)
                .ok_or_else(|| PyValueError::new_err("the packets have no such front"))?;
            Ok(Self { train })
        })
    }
}

impl PacketTrain {
    fn make<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyBytes>> {
        let parts = self
            .train
            .packet(index)
            .ok_or_else(|| PyValueError::new_err("there is no such packet"))?;
        let (head, body) = (parts.head(), parts.body());
        PyBytes::new_with(py, head.len().saturating_add(body.len()), |room| {
            for (to, from) in room.iter_mut().zip(head) {
                *to = *from;
            }
            if let Some(rest) = room.get_mut(head.len()..) {
                rest.copy_from_slice(body);
            }
            Ok(())
        })
    }
}

/// Take frames of a TUN device apart: packets, and trains for those that have to be split.
#[pyfunction]
pub fn split_frames(py: Python<'_>, frames: Vec<PyBackedBytes>) -> PyResult<Bound<'_, PyList>> {
    guarded(|| {
        let pieces = frames.into_iter().map(|frame| Piece::Frame(Arc::new(frame))).collect();
        let list = PyList::empty(py);
        for content in split(pieces) {
            match content {
                Content::Packet(packet) => list.append(PyBytes::new(py, &packet))?,
                Content::Train(train) => list.append(Bound::new(py, PacketTrain { train })?)?,
            }
        }
        Ok(list)
    })
}

/// Make frames for a TUN device of packets and trains, joining what belongs together.
#[pyfunction]
pub fn join_packets<'py>(
    py: Python<'py>,
    parcels: &Bound<'py, PyAny>,
    joins_udp: bool,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let sources = Source::all(parcels)?;
        let packets = packets_of(&sources);
        let frames = unlocked(py, Source::total(&sources), || join(&packets, joins_udp));
        let list = PyList::empty(py);
        for frame in &frames {
            list.append(PyBytes::new_with(py, frame.len(), |room| {
                frame.write(room);
                Ok(())
            })?)?;
        }
        Ok(list)
    })
}

/// Do what `join_packets` does and write the frames to a TUN device, from where the packets are.
///
/// Returns the bytes that were written, headers of frames aside, and the packets that were not.
#[pyfunction]
pub fn write_packets(
    py: Python<'_>,
    descriptor: i32,
    parcels: &Bound<'_, PyAny>,
    joins_udp: bool,
) -> PyResult<(usize, usize)> {
    guarded(|| {
        let sources = Source::all(parcels)?;
        let packets = packets_of(&sources);
        Ok(unlocked(py, Source::total(&sources), || {
            let mut written: usize = 0;
            let mut dropped: usize = 0;
            for frame in &join(&packets, joins_udp) {
                match with_device(descriptor, |device| write_frame(device, frame)) {
                    Ok(len) => {
                        written = written.saturating_add(len.saturating_sub(FRAME_HEADER_LEN));
                    }
                    // An IP packet may always be lost; reading reports a device that is gone.
                    Err(_) => dropped = dropped.saturating_add(frame.packet_count()),
                }
            }
            (written, dropped)
        }))
    })
}

fn packets_of(sources: &[Source]) -> Vec<&[u8]> {
    let count = sources.iter().fold(0_usize, |sum, source| sum.saturating_add(source.count()));
    let mut packets = Vec::with_capacity(count);
    for source in sources {
        source.add_to(&mut packets);
    }
    packets
}

/// Packets for `join_packets`.
enum Source {
    Packet(PyBackedBytes),
    Made(Vec<Vec<u8>>),
    Train(Train),
}

impl Source {
    fn of(parcel: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(train) = parcel.cast::<PacketTrain>() {
            let train = train.get().train.clone();
            if train.whole(0).is_some() {
                return Ok(Self::Train(train));
            }
            let indices = 0..train.len();
            let made = indices.filter_map(|index| Some(train.packet(index)?.to_vec())).collect();
            return Ok(Self::Made(made));
        }
        let packet = parcel
            .extract::<PyBackedBytes>()
            .map_err(|_| PyTypeError::new_err("a packet must be bytes or a train"))?;
        Ok(Self::Packet(packet))
    }

    fn all(parcels: &Bound<'_, PyAny>) -> PyResult<Vec<Self>> {
        parcels.try_iter()?.map(|parcel| Self::of(&parcel?)).collect()
    }

    /// Bytes of all packets.
    fn total(sources: &[Self]) -> usize {
        sources.iter().fold(0, |sum, source| sum.saturating_add(source.len()))
    }

    fn count(&self) -> usize {
        match self {
            Self::Packet(_) => 1,
            Self::Made(packets) => packets.len(),
            Self::Train(train) => train.len(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Packet(packet) => packet.len(),
            Self::Made(packets) => {
                packets.iter().fold(0_usize, |sum, packet| sum.saturating_add(packet.len()))
            }
            Self::Train(train) => train.total_len(),
        }
    }

    fn add_to<'a>(&'a self, packets: &mut Vec<&'a [u8]>) {
        match self {
            Self::Packet(packet) => packets.push(packet),
            Self::Made(made) => packets.extend(made.iter().map(Vec::as_slice)),
            Self::Train(train) => {
                packets.extend((0..train.len()).filter_map(|index| train.whole(index)));
            }
        }
    }
}
