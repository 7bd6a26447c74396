//! `open_batch` and `open_segments` as Python sees them.

// What PyO3 makes of an argument arrives by value.
#![allow(clippy::needless_pass_by_value)]

use std::sync::Arc;

use mqvpn_kernel::open::{self, ChunkPart, Opened, Opener, Part, ReceiveContext};
use mqvpn_kernel::packet_number;
use mqvpn_kernel::train::{Equal, Shared, Train};
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyList;

use crate::border::{MIN_UNLOCKED_BYTES, bytes_of, guarded, unlocked};
use crate::datagram_buffer::DatagramBuffer;
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

/// Received bytes, as Python has them.
#[derive(FromPyObject)]
pub enum Received<'py> {
    /// As they were read; they are opened in place.
    Buffer(Bound<'py, DatagramBuffer>),
    /// Bytes that stay as they are.
    Bytes(PyBackedBytes),
}

/// Do what `open_batch` does for packets back to back, and join what can stay together.
#[pyfunction]
pub fn open_segments<'py>(
    py: Python<'py>,
    keys: &Bound<'py, PacketKeys>,
    context: (u32, i64, usize, u8),
    data: Received<'py>,
    segment_size: usize,
) -> PyResult<Bound<'py, PyList>> {
    guarded(|| {
        let context = read_context(context)?;
        let opener = Opener::new(&keys.get().keys, context);
        let (parts, buffers): (Vec<ChunkPart>, Vec<Shared>) = match data {
            Received::Bytes(data) => unlocked(py, data.len(), || {
                let mut buffer = data.to_vec();
                let parts = opener.open_chunks([buffer.as_mut_slice()], segment_size);
                let buffer: Shared = Arc::new(buffer);
                (parts, vec![buffer])
            }),
            Received::Buffer(data) => {
                let data = data.get();
                let (parts, buffers) = unlocked(py, MIN_UNLOCKED_BYTES, || {
                    data.open(|chunks| opener.open_chunks(chunks, segment_size))
                })
                .ok_or_else(|| PyValueError::new_err("these packets were opened before"))?;
                (parts, buffers.into_iter().map(|buffer| -> Shared { buffer }).collect())
            }
        };
        make_parts(py, &parts, &buffers)
    })
}

/// Tell whether packets back to back all have short headers with the same connection ID.
#[pyfunction]
pub fn share_destination(
    data: Received<'_>,
    segment_size: usize,
    cid_length: usize,
) -> PyResult<bool> {
    guarded(|| {
        Ok(match data {
            Received::Bytes(data) => open::share_destination(&data, segment_size, cid_length),
            Received::Buffer(data) => data.get().share_destination(segment_size, cid_length),
        })
    })
}

fn make_parts<'py>(
    py: Python<'py>,
    parts: &[ChunkPart],
    buffers: &[Shared],
) -> PyResult<Bound<'py, PyList>> {
    let values = Values::get(py)?;
    let list = PyList::empty(py);
    let mut rest = parts;
    while let Some((first, behind)) = rest.split_first() {
        let count = behind.iter().take_while(|part| part.goes_on).count();
        let (more, others) = behind.split_at_checked(count).unwrap_or_default();
        rest = others;
        let buffer = buffers
            .get(first.chunk)
            .ok_or_else(|| PyRuntimeError::new_err("there is no such buffer"))?;
        let Part::Train { packet_number, payloads } = &first.part else {
            list.append(make_part(py, values, buffer, &first.part)?)?;
            continue;
        };
        if more.is_empty() {
            list.append(make_part(py, values, buffer, &first.part)?)?;
            continue;
        }
        let mut train = Train::from_equal(Shared::clone(buffer), *payloads);
        for part in more {
            if let (Some(buffer), Part::Train { payloads, .. }) =
                (buffers.get(part.chunk), &part.part)
            {
                train.append(&Train::from_equal(Shared::clone(buffer), *payloads));
            }
        }
        list.append(values.opened_train(py, *packet_number, PacketTrain { train })?)?;
    }
    Ok(list)
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
    let expected = next_of(largest_received)?;
    Ok(ReceiveContext { path_id, expected, cid_len, key_phase: key_phase_bit != 0 })
}

/// Returns the packet number behind the largest one, which is -1 where there is none.
pub fn next_of(largest_received: i64) -> PyResult<u64> {
    largest_received
        .checked_add(1)
        .and_then(|next| u64::try_from(next).ok())
        .filter(|next| *next <= packet_number::LIMIT)
        .ok_or_else(|| PyOverflowError::new_err("no such packet number"))
}
