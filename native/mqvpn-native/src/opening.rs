//! `open_batch` as Python sees it.

use mqvpn_kernel::open::{Opened, Opener, ReceiveContext};
use mqvpn_kernel::packet_number;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyList, PyType};

use crate::border::{bytes_of, guarded, unlocked};
use crate::packet_keys::PacketKeys;

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
            list.append(values.make(py, &opened, here)?)?;
            rest = behind;
        }
        Ok(list)
    })
}

/// The Python values that a packet becomes.
struct Values {
    new: Py<PyAny>,
    opened_packet: Py<PyType>,
    other_phase: Py<PyType>,
    malformed: Py<PyAny>,
    forged: Py<PyAny>,
}

impl Values {
    fn get(py: Python<'_>) -> PyResult<&Self> {
        static VALUES: PyOnceLock<Values> = PyOnceLock::new();
        VALUES.get_or_try_init(py, || {
            let module = py.import("mqvpn_core.dataplane.packets")?;
            let bad = module.getattr("Bad")?;
            Ok(Self {
                new: py.import("builtins")?.getattr("tuple")?.getattr("__new__")?.unbind(),
                opened_packet: module.getattr("OpenedPacket")?.cast_into::<PyType>()?.unbind(),
                other_phase: module.getattr("OtherPhase")?.cast_into::<PyType>()?.unbind(),
                malformed: bad.call1((false,))?.unbind(),
                forged: bad.call1((true,))?.unbind(),
            })
        })
    }

    fn make<'py>(
        &self,
        py: Python<'py>,
        opened: &Opened,
        packet: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        match opened {
            Opened::Packet { packet_number, has_reserved_bits, plaintext } => {
                let plaintext = packet.get(plaintext.clone()).unwrap_or_default();
                let fields = (*packet_number, PyBytes::new(py, plaintext), *has_reserved_bits);
                self.new.bind(py).call1((&self.opened_packet, fields))
            }
            Opened::OtherPhase { packet_number } => {
                self.new.bind(py).call1((&self.other_phase, (*packet_number,)))
            }
            Opened::Malformed => Ok(self.malformed.bind(py).clone()),
            Opened::Forged => Ok(self.forged.bind(py).clone()),
        }
    }
}
