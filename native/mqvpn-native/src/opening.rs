//! `open_batch` and `open_segments` as Python sees them.

// What PyO3 makes of an argument arrives by value.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;

use mqvpn_kernel::open::{self, Opened, Opener, Part, ReceiveContext};
use mqvpn_kernel::packet_number;
use mqvpn_kernel::train::{Equal, Shared, Train};
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyList;

use crate::border::{bytes_of, guarded, unlocked};
use crate::packet_keys::PacketKeys;
use crate::trains::PacketTrain;
use crate::values::Values;

/// Remove header and packet protection of a batch of 1-RTT packets on one path.
#[pyfunction]
pub fn open_batch<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PacketKeys>,
    context: (u32, i64, usize, u8),
    packets: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let context = read_context(context)?;
        let packets = bytes_of(packets)?;
        let packets: Vec<&[u8]> = packets.iter().map(PyBytesMethods::as_bytes).collect();
        let opener = Opener::new(&keys.get().keys, context);
        let total = packets.iter().fold(0_usize, |sum, packet| sum.saturating_add(packet.len()));
        let (buffer, results) = unlocked(py, total, || {
            let mut buffer = packets.concat();
            let mut results = Vec::with_capacity(packets.len());
            let mut rest = buffer.as_mut_slice();
            for packet in &packets {
                let Some((here, behind)) = rest.split_at_mut_checked(packet.len()) else { break };
                results.push((opener.open(here), packet.len()));
                rest = behind;
            }
            (buffer, results)
        });
        let values = Values::get(py)?;
        let list = PyList::empty(py);
        let mut rest = buffer.as_slice();
        for (opened, size) in results {
            let Some((here, behind)) = rest.split_at_checked(size) else { break };
            list.append(values.opened(py, &opened, here)?)?;
            rest = behind;
        }
        Ok(list)
    })
}

/// Do what `open_batch` does for packets back to back, and join what can stay together.
#[pyfunction]
pub fn open_segments<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PacketKeys>,
    context: (u32, i64, usize, u8),
    data: PyBackedBytes,
    segment_size: usize,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let context = read_context(context)?;
        let opener = Opener::new(&keys.get().keys, context);
        let (buffer, parts) = unlocked(py, data.len(), || {
            let mut buffer = data.to_vec();
            let parts = opener.open_segments(&mut buffer, segment_size);
            (buffer, parts)
        });
        let values = Values::get(py)?;
        let list = PyList::empty(py);
        let shared: Shared = Arc::new(buffer);
        for part in parts {
            list.append(make_part(py, values, &shared, &part)?)?;
        }
        Ok(list)
    })
}

/// Tell whether packets back to back all have short headers with the same connection ID.
#[pyfunction]
pub fn share_destination(data: &[u8], segment_size: usize, cid_length: usize) -> PyResult<bool> {
    guarded(|| Ok(open::share_destination(data, segment_size, cid_length)))
}

fn make_part<'py>(
    py: Python<'py>,
    values: &Values,
    buffer: &Shared,
    part: &Part,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes = (**buffer).as_ref();
    match part {
        Part::Single { start, opened } => {
            values.opened(py, opened, bytes.get(*start..).unwrap_or_default())
        }
        Part::Train { packet_number, payloads: Equal { start, len, count: 1, .. } } => {
            // With the type of the frame in front.
            let plaintext = start.saturating_sub(1)..start.saturating_add(*len);
            let opened = Opened::Packet {
                packet_number: *packet_number,
                has_reserved_bits: false,
                plaintext,
            };
            values.opened(py, &opened, bytes)
        }
        Part::Train { packet_number, payloads } => {
            let train = PacketTrain { train: Train::from_equal(Shared::clone(buffer), *payloads) };
            values.opened_train(py, *packet_number, train)
        }
    }
}

fn read_context(context: (u32, i64, usize, u8)) -> PyResult<ReceiveContext> {
    let (path_id, largest_received, cid_len, key_phase_bit) = context;
    let expected = largest_received
        .checked_add(1)
        .and_then(|next| u64::try_from(next).ok())
        .filter(|next| *next <= packet_number::LIMIT)
        .ok_or_else(|| PyOverflowError::new_err("no such packet number"))?;
    Ok(ReceiveContext { path_id, expected, cid_len, key_phase: key_phase_bit != 0 })
}
