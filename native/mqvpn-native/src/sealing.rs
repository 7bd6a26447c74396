//! `seal_batch` and `seal_runs` as Python sees them.

// What PyO3 makes of a tuple arrives by value.
#![allow(clippy::needless_pass_by_value)]

use mqvpn_kernel::packet_number::{self, Length};
use mqvpn_kernel::runs::{self, Run};
use mqvpn_kernel::seal::{SealError, Sealer, ShortHeader};
use mqvpn_kernel::train::Train;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use crate::border::{guarded, unlocked};
use crate::packet_keys::PacketKeys;
use crate::trains::PacketTrain;
use crate::values::Values;

/// Connection ID, key phase bit and length of the packet numbers, as `ShortHeader` in Python.
pub type Header<'py> = (Bound<'py, PyBytes>, u8, u8);

/// Return one protected 1-RTT packet for each payload, with consecutive packet numbers.
#[pyfunction]
pub fn seal_batch<'py>(
    py: Python<'py>,
    keys: Bound<'py, PacketKeys>,
    header: Header<'py>,
    path_id: u32,
    first_packet_number: u64,
    payloads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let batch = Batch::new(keys, header, path_id, first_packet_number, payloads)?;
        let packets = PyList::empty(py);
        for index in 0..batch.sizes().len() {
            packets.append(batch.seal(py, index, 1)?)?;
        }
        Ok(packets)
    })
}

/// Do what `seal_batch` does, and join what can leave in one send with segmentation.
#[pyfunction]
pub fn seal_runs<'py>(
    py: Python<'py>,
    keys: Bound<'py, PacketKeys>,
    header: Header<'py>,
    path_id: u32,
    first_packet_number: u64,
    payloads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let batch = Batch::new(keys, header, path_id, first_packet_number, payloads)?;
        batch.seal_runs(py, &runs::plan(batch.sizes()), 0)
    })
}

/// What goes into one packet, or into several.
enum Source {
    Payload(PyBackedBytes),
    /// What stands in front of each packet of a train.
    Train(PyBackedBytes, Train),
}

/// One payload: its source, and which packet of a train.
type Piece = (usize, usize);

impl Source {
    fn of(item: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(payload) = item.extract::<PyBackedBytes>() {
            return Ok(Self::Payload(payload));
        }
        let (front, train): (PyBackedBytes, Bound<'_, PacketTrain>) = item
            .extract()
            .map_err(|_| PyTypeError::new_err("a payload must be bytes, or bytes and a train"))?;
        Ok(Self::Train(front, train.get().train.clone()))
    }

    fn count(&self) -> usize {
        match self {
            Self::Payload(_) => 1,
            Self::Train(_, train) => train.len(),
        }
    }

    fn len(&self, index: usize) -> usize {
        match self {
            Self::Payload(payload) => payload.len(),
            Self::Train(front, train) => front.len().saturating_add(train.packet_len(index)),
        }
    }

    fn seal(
        &self,
        sealer: &Sealer<'_>,
        index: usize,
        number: u64,
        room: &mut [u8],
    ) -> Result<(), SealError> {
        match self {
            Self::Payload(payload) => sealer.seal(number, &[payload], room),
            Self::Train(front, train) => {
                let parts = train.packet(index).ok_or(SealError)?;
                sealer.seal(number, &[front, parts.head(), parts.body()], room)
            }
        }
    }
}

/// Payloads and all that is needed to seal them, now or later.
pub struct Batch {
    keys: Py<PacketKeys>,
    destination_cid: Vec<u8>,
    key_phase: bool,
    number_length: Length,
    path_id: u32,
    first: u64,
    sources: Vec<Source>,
    pieces: Vec<Piece>,
    sizes: Vec<usize>,
}

impl Batch {
    pub fn new(
        keys: Bound<'_, PacketKeys>,
        header: Header<'_>,
        path_id: u32,
        first: u64,
        payloads: &Bound<'_, PyAny>,
    ) -> PyResult<Self> {
        let (destination_cid, key_phase_bit, number_length) = header;
        let number_length = Length::new(number_length)
            .ok_or_else(|| PyValueError::new_err("a packet number has one to four bytes"))?;
        let mut sources = Vec::new();
        for item in payloads.try_iter()? {
            sources.push(Source::of(&item?)?);
        }
        let pieces: Vec<Piece> = sources
            .iter()
            .enumerate()
            .flat_map(|(at, source)| (0..source.count()).map(move |index| (at, index)))
            .collect();
        check_numbers(first, pieces.len())?;
        let mut batch = Self {
            keys: keys.unbind(),
            destination_cid: destination_cid.as_bytes().to_vec(),
            key_phase: key_phase_bit != 0,
            number_length,
            path_id,
            first,
            sources,
            pieces,
            sizes: Vec::new(),
        };
        let len = |(at, index): &Piece| batch.sources.get(*at).map_or(0, |it| it.len(*index));
        let header = batch.header();
        batch.sizes = batch.pieces.iter().map(|piece| header.sealed_len(len(piece))).collect();
        Ok(batch)
    }

    /// Returns the length of each packet.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    fn header(&self) -> ShortHeader<'_> {
        ShortHeader {
            destination_cid: &self.destination_cid,
            key_phase: self.key_phase,
            number_length: self.number_length,
        }
    }

    /// Seals some of the payloads into a buffer that has just room for them.
    ///
    /// Done twice it gives the same bytes twice, so that no number is used for two packets.
    pub fn seal_into(
        &self,
        start: usize,
        count: usize,
        buffer: &mut [u8],
    ) -> Result<(), SealError> {
        let sealer = Sealer::new(&self.keys.get().keys, self.header(), self.path_id);
        let skipped = u64::try_from(start).map_err(|_| SealError)?;
        let first = self.first.saturating_add(skipped);
        let chosen = self.pieces.iter().zip(&self.sizes).skip(start).take(count);
        let mut rest = buffer;
        for (((at, index), size), number) in chosen.zip(first..) {
            let (here, behind) = rest.split_at_mut_checked(*size).ok_or(SealError)?;
            let source = self.sources.get(*at).ok_or(SealError)?;
            source.seal(&sealer, *index, number, here)?;
            rest = behind;
        }
        Ok(())
    }

    /// Seals runs, of which the first starts with a packet.
    pub fn seal_runs<'py>(
        &self,
        py: Python<'py>,
        runs: &[Run],
        start: usize,
    ) -> PyResult<Bound<'py, PyList>> {
        let values = Values::get(py)?;
        let sealed = PyList::empty(py);
        let mut start = start;
        for run in runs {
            let data = self.seal(py, start, run.count)?;
            sealed.append(values.sealed_run(py, data, run)?)?;
            start = start.saturating_add(run.count);
        }
        Ok(sealed)
    }

    /// Seals some of the payloads straight into a new `bytes`, back to back.
    fn seal<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        count: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let total = self.sizes.iter().skip(start).take(count).sum();
        PyBytes::new_with(py, total, |buffer| {
            unlocked(py, total, || self.seal_into(start, count, buffer)).map_err(too_long)
        })
    }
}

/// Makes the exception for a packet that the AEAD does not take.
pub fn too_long(_: SealError) -> PyErr {
    PyOverflowError::new_err("a packet is too long")
}

fn check_numbers(first: u64, count: usize) -> PyResult<()> {
    let end = u64::try_from(count).ok().and_then(|count| first.checked_add(count));
    match end {
        Some(end) if end <= packet_number::LIMIT => Ok(()),
        _ => Err(PyOverflowError::new_err("a packet number is too large")),
    }
}
