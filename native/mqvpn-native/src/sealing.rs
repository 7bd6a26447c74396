//! `seal_batch` and `seal_runs` as Python sees them.

// What PyO3 makes of a tuple arrives by value.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;

use mqvpn_kernel::packet_number::{self, Length};
use mqvpn_kernel::runs::{self, Run};
use mqvpn_kernel::seal::SealError;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList};

use crate::batch::{Batch, Envelope, Front, Source};
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
        let batch = batch_of(&keys, &header, path_id, first_packet_number, payloads)?;
        let packets = PyList::empty(py);
        for index in 0..batch.sizes().len() {
            packets.append(seal(py, &batch, index, 1)?)?;
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
        let batch = batch_of(&keys, &header, path_id, first_packet_number, payloads)?;
        seal_list(py, &batch, &runs::plan(batch.sizes()), 0)
    })
}

fn source_of(item: &Bound<'_, PyAny>) -> PyResult<Source> {
    if let Ok(payload) = item.extract::<PyBackedBytes>() {
        return Ok(Source::Payload(payload));
    }
    let (front, train): (PyBackedBytes, Bound<'_, PacketTrain>) = item
        .extract()
        .map_err(|_| PyTypeError::new_err("a payload must be bytes, or bytes and a train"))?;
    Ok(Source::Train(Front::Python(front), train.get().train.clone()))
}

/// Takes payloads and all that is needed to seal them, now or later.
pub fn batch_of(
    keys: &Bound<'_, PacketKeys>,
    header: &Header<'_>,
    path_id: u32,
    first: u64,
    payloads: &Bound<'_, PyAny>,
) -> PyResult<Batch> {
    let envelope = envelope_of(keys, header, path_id)?;
    let sources: PyResult<Vec<Source>> =
        payloads.try_iter()?.map(|item| source_of(&item?)).collect();
    let batch = Batch::new(Arc::new(envelope), first, sources?);
    check_numbers(first, batch.sizes().len())?;
    Ok(batch)
}

/// Takes what sealed packets of one path have in common.
pub fn envelope_of(
    keys: &Bound<'_, PacketKeys>,
    (destination_cid, key_phase_bit, number_length): &Header<'_>,
    path_id: u32,
) -> PyResult<Envelope> {
    let number_length = Length::new(*number_length)
        .ok_or_else(|| PyValueError::new_err("a packet number has 1 to 4 bytes"))?;
    Ok(Envelope {
        keys: Arc::clone(&keys.get().keys),
        destination_cid: destination_cid.as_bytes().to_vec(),
        key_phase: *key_phase_bit != 0,
        number_length,
        path_id,
    })
}

/// Seals runs, of which the first starts with a packet.
pub fn seal_list<'py>(
    py: Python<'py>,
    batch: &Batch,
    runs: &[Run],
    start: usize,
) -> PyResult<Bound<'py, PyList>> {
    let values = Values::get(py)?;
    let sealed = PyList::empty(py);
    let mut start = start;
    for run in runs {
        let data = seal(py, batch, start, run.count)?;
        sealed.append(values.sealed_run(py, data, run)?)?;
        start = start.saturating_add(run.count);
    }
    Ok(sealed)
}

/// Seals some of the payloads straight into a new `bytes`, back to back.
fn seal<'py>(
    py: Python<'py>,
    batch: &Batch,
    start: usize,
    count: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let total = batch.sizes().iter().skip(start).take(count).sum();
    PyBytes::new_with(py, total, |buffer| {
        unlocked(py, total, || batch.seal_into(start, count, buffer)).map_err(too_long)
    })
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
