//! `open_batch` as Python sees it.

use mqvpn_kernel::open::{Opener, ReceiveContext};
use mqvpn_kernel::packet_number;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::border::{bytes_of, guarded, unlocked};
use crate::packet_keys::PacketKeys;
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
        let (path_id, largest_received, cid_len, key_phase_bit) = context;
        let expected = largest_received
            .checked_add(1)
            .and_then(|next| u64::try_from(next).ok())
            .filter(|next| *next <= packet_number::LIMIT)
            .ok_or_else(|| PyOverflowError::new_err("no such packet number"))?;
        let context = ReceiveContext { path_id, expected, cid_len, key_phase: key_phase_bit != 0 };
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
