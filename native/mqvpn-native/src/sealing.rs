//! `seal_batch` as Python sees it.

use mqvpn_kernel::packet_number::{self, Length};
use mqvpn_kernel::seal::{SealError, Sealer, ShortHeader};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::border::{bytes_of, guarded, unlocked};
use crate::packet_keys::PacketKeys;

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
        let (destination_cid, key_phase_bit, number_length) = header;
        let number_length = Length::new(number_length)
            .ok_or_else(|| PyValueError::new_err("a packet number has one to four bytes"))?;
        let header = ShortHeader {
            destination_cid: destination_cid.as_bytes(),
            key_phase: key_phase_bit != 0,
            number_length,
        };
        let payloads = bytes_of(payloads)?;
        check_numbers(first_packet_number, payloads.len())?;
        let sizes: Vec<usize> =
            payloads.iter().map(|payload| header.sealed_len(payload.as_bytes().len())).collect();
        let payloads: Vec<&[u8]> = payloads.iter().map(PyBytesMethods::as_bytes).collect();
        let batch = Sealer::new(&keys.get().keys, header, path_id);
        let total = sizes.iter().fold(0_usize, |sum, size| sum.saturating_add(*size));
        let sealed = unlocked(py, total, || {
            let mut sealed = vec![0; total];
            let mut rest = sealed.as_mut_slice();
            for ((payload, size), number) in payloads.iter().zip(&sizes).zip(first_packet_number..)
            {
                let (here, behind) = rest.split_at_mut_checked(*size).ok_or(SealError)?;
                batch.seal(number, &[payload], here)?;
                rest = behind;
            }
            Ok(sealed)
        })
        .map_err(|SealError| PyOverflowError::new_err("a packet is too long"))?;
        let packets = PyList::empty(py);
        let mut rest = sealed.as_slice();
        for size in sizes {
            let (here, behind) = rest
                .split_at_checked(size)
                .ok_or_else(|| PyOverflowError::new_err("a packet is too long"))?;
            packets.append(PyBytes::new(py, here))?;
            rest = behind;
        }
        Ok(packets)
    })
}

fn check_numbers(first: u64, count: usize) -> PyResult<()> {
    let end = u64::try_from(count).ok().and_then(|count| first.checked_add(count));
    match end {
        Some(end) if end <= packet_number::LIMIT => Ok(()),
        _ => Err(PyOverflowError::new_err("a packet number is too large")),
    }
}
