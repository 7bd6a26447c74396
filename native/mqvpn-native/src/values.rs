//! Values of `mqvpn_core.dataplane.packets`, which both kernels return.

use mqvpn_kernel::open::Opened;
use mqvpn_kernel::runs::Run;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyType};

use crate::trains::PacketTrain;

/// The Python values that a packet becomes.
pub struct Values {
    new: Py<PyAny>,
    opened_packet: Py<PyType>,
    opened_train: Py<PyType>,
    sealed_run: Py<PyType>,
    other_phase: Py<PyType>,
    malformed: Py<PyAny>,
    forged: Py<PyAny>,
}

impl Values {
    /// Returns the values; imports their types once.
    pub fn get(py: Python<'_>) -> PyResult<&Self> {
        static VALUES: PyOnceLock<Values> = PyOnceLock::new();
        VALUES.get_or_try_init(py, || {
            let module = py.import("mqvpn_core.dataplane.packets")?;
            let bad = module.getattr("Bad")?;
            Ok(Self {
                new: py.import("builtins")?.getattr("tuple")?.getattr("__new__")?.unbind(),
                opened_packet: module.getattr("OpenedPacket")?.cast_into::<PyType>()?.unbind(),
                opened_train: module.getattr("OpenedTrain")?.cast_into::<PyType>()?.unbind(),
                sealed_run: module.getattr("SealedRun")?.cast_into::<PyType>()?.unbind(),
                other_phase: module.getattr("OtherPhase")?.cast_into::<PyType>()?.unbind(),
                malformed: bad.call1((false,))?.unbind(),
                forged: bad.call1((true,))?.unbind(),
            })
        })
    }

    /// Makes the value for a received packet.
    pub fn opened<'py>(
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

    /// Makes the value for received packets that stay together.
    pub fn opened_train<'py>(
        &self,
        py: Python<'py>,
        packet_number: u64,
        train: PacketTrain,
    ) -> PyResult<Bound<'py, PyAny>> {
        let fields = (packet_number, Bound::new(py, train)?);
        self.new.bind(py).call1((&self.opened_train, fields))
    }

    /// Makes the value for packets that leave together.
    pub fn sealed_run<'py>(
        &self,
        py: Python<'py>,
        data: Bound<'py, PyBytes>,
        run: &Run,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.new.bind(py).call1((&self.sealed_run, (data, run.segment_len, run.count)))
    }
}
