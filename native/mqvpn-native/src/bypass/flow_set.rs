//! `FlowSet`: flows that packets may pass with, for Python and for a bypass.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::border::guarded;

/// Who moves packets holds this for reading, from the look at a set to the last packet's end.
static RUNS: RwLock<()> = RwLock::new(());

/// Starts to move packets by what the sets say.
pub fn start_run() -> RwLockReadGuard<'static, ()> {
    RUNS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Flows that are known, as they are now.
#[derive(Clone, Default)]
pub struct Flows(Arc<RwLock<HashSet<Box<[u8]>>>>);

impl Flows {
    /// Looks for a flow.
    pub fn has(&self, flow: &[u8]) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(flow)
    }

    fn add(&self, flow: &[u8]) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(flow.into());
    }

    fn clear(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Flows of packets that may pass: source, destination and protocol each.
#[pyclass(frozen, module = "mqvpn_core.dataplane._native")]
pub struct FlowSet {
    pub flows: Flows,
}

#[pymethods]
impl FlowSet {
    #[new]
    fn new() -> Self {
        Self { flows: Flows::default() }
    }

    /// Let packets of a flow pass from now on.
    fn add(&self, flow: &[u8]) -> PyResult<()> {
        guarded(|| {
            self.flows.add(flow);
            Ok(())
        })
    }

    /// Let none pass any more; afterwards none is on its way either.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        guarded(|| {
            py.detach(|| {
                self.flows.clear();
                // Whoever looked before this has come to an end.
                drop(RUNS.write().unwrap_or_else(PoisonError::into_inner));
            });
            Ok(())
        })
    }

    /// Tell whether a flow is known; no flow, `None`, is not.
    fn __contains__(&self, flow: &Bound<'_, PyAny>) -> PyResult<bool> {
        guarded(|| Ok(flow.cast::<PyBytes>().is_ok_and(|flow| self.flows.has(flow.as_bytes()))))
    }

    fn __len__(&self) -> usize {
        self.flows.len()
    }
}
