//! `PacketKeys` as Python sees it.

use std::sync::Arc;

use mqvpn_kernel::keys::{self, CipherSuite};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::border::guarded;

/// AEAD key, IV and header protection key of one direction and key phase; immutable.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct PacketKeys {
    pub keys: Arc<keys::PacketKeys>,
    suite: Py<PyAny>,
}

#[pymethods]
impl PacketKeys {
    #[new]
    fn new(
        suite: Bound<'_, PyAny>,
        key: &[u8],
        iv: &[u8],
        header_protection_key: &[u8],
    ) -> PyResult<Self> {
        guarded(|| {
            let chosen = CipherSuite::from_code_point(suite.extract()?)
                .ok_or_else(|| PyValueError::new_err("the cipher suite is not supported"))?;
            let keys = keys::PacketKeys::new(chosen, key, iv, header_protection_key)
                .map_err(|_| PyValueError::new_err("a key or the IV has the wrong length"))?;
            Ok(Self { keys: Arc::new(keys), suite: suite.unbind() })
        })
    }

    /// Which AEAD and header protection.
    #[getter]
    fn suite<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.suite.bind(py)
    }
}
