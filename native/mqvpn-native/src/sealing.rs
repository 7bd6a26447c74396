//! `seal_batch` and `seal_runs` as Python sees them.

// What PyO3 makes of a tuple arrives by value.
#![allow(clippy::needless_pass_by_value)]

use mqvpn_kernel::packet_number::{self, Length};
use mqvpn_kernel::runs;
use mqvpn_kernel::seal::{SealError, Sealer, ShortHeader};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::border::{bytes_of, guarded, unlocked};
use crate::packet_keys::PacketKeys;
use crate::values::Values;

/// Return one protected 1-RTT packet for each payload, with consecutive packet numbers.
#[pyfunction]
pub fn seal_batch<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PacketKeys>,
    header: (Bound<'py, PyBytes>, u8, u8),
    path_id: u32,
    first_packet_number: u64,
    payloads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let payloads = bytes_of(payloads)?;
        let batch = Batch::new(keys, &header, path_id, first_packet_number, &payloads)?;
        let packets = PyList::empty(py);
        for index in 0..batch.sizes.len() {
            packets.append(batch.seal(py, index, 1)?)?;
        }
        Ok(packets)
    })
}

/// Do what `seal_batch` does, and join what can leave in one send with segmentation.
#[pyfunction]
pub fn seal_runs<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PacketKeys>,
    header: (Bound<'py, PyBytes>, u8, u8),
    path_id: u32,
    first_packet_number: u64,
    payloads: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let payloads = bytes_of(payloads)?;
        let batch = Batch::new(keys, &header, path_id, first_packet_number, &payloads)?;
        let values = Values::get(py)?;
        let sealed = PyList::empty(py);
        let mut start: usize = 0;
        for run in runs::plan(&batch.sizes) {
            let data = batch.seal(py, start, run.count)?;
            sealed.append(values.sealed_run(py, data, &run)?)?;
            start = start.saturating_add(run.count);
        }
        Ok(sealed)
    })
}

/// Payloads and all that is needed to seal them.
struct Batch<'a> {
    sealer: Sealer<'a>,
    first: u64,
    payloads: Vec<&'a [u8]>,
    sizes: Vec<usize>,
}

impl<'a> Batch<'a> {
    fn new(
        keys: &'a Bound<'_, PacketKeys>,
        header: &'a (Bound<'_, PyBytes>, u8, u8),
        path_id: u32,
        first: u64,
        payloads: &'a [Bound<'_, PyBytes>],
    ) -> PyResult<Self> {
        let (destination_cid, key_phase_bit, number_length) = header;
        let number_length = Length::new(*number_length)
            .ok_or_else(|| PyValueError::new_err("a packet number has one to four bytes"))?;
        let header = ShortHeader {
            destination_cid: destination_cid.as_bytes(),
            key_phase: *key_phase_bit != 0,
            number_length,
        };
        check_numbers(first, payloads.len())?;
        let payloads: Vec<&[u8]> = payloads.iter().map(PyBytesMethods::as_bytes).collect();
        let sizes = payloads.iter().map(|payload| header.sealed_len(payload.len())).collect();
        Ok(Self { sealer: Sealer::new(&keys.get().keys, header, path_id), first, payloads, sizes })
    }

    /// Seals some of the payloads straight into a new `bytes`, back to back.
    fn seal<'py>(
        &self,
        py: Python<'py>,
        start: usize,
        count: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let skipped = u64::try_from(start).unwrap_or(u64::MAX);
        let first = self.first.saturating_add(skipped);
        let total = self.sizes.iter().skip(start).take(count).sum();
        let chosen = self.payloads.iter().zip(&self.sizes).skip(start).take(count);
        PyBytes::new_with(py, total, |buffer| {
            unlocked(py, total, || {
                let mut rest = buffer;
                for ((payload, size), number) in chosen.zip(first..) {
                    let (here, behind) = rest.split_at_mut_checked(*size).ok_or(SealError)?;
                    self.sealer.seal(number, &[payload], here)?;
                    rest = behind;
                }
                Ok(())
            })
            .map_err(|SealError| PyOverflowError::new_err("a packet is too long"))
        })
    }
}

fn check_numbers(first: u64, count: usize) -> PyResult<()> {
    let end = u64::try_from(count).ok().and_then(|count| first.checked_add(count));
    match end {
        Some(end) if end <= packet_number::LIMIT => Ok(()),
        _ => Err(PyOverflowError::new_err("a packet number is too large")),
    }
}
