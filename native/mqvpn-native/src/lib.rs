//! The Python module `mqvpn_core.dataplane._native`: a thin layer over `mqvpn-kernel`.
//!
//! Its functions have the names, arguments and results of `mqvpn_core/dataplane/reference.py`.

mod border;
mod opening;
mod packet_keys;
mod sealing;
mod values;

use pyo3::prelude::*;

/// Changes with every change of a signature or a result: a build that is left over from another
/// version of the Python code must not be used.
const ABI: u32 = 2;

/// Data plane in Rust; go through `mqvpn_core.dataplane.kernel`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ABI", ABI)?;
    module.add_class::<packet_keys::PacketKeys>()?;
    module.add_function(wrap_pyfunction!(sealing::seal_batch, module)?)?;
    module.add_function(wrap_pyfunction!(sealing::seal_runs, module)?)?;
    module.add_function(wrap_pyfunction!(opening::open_batch, module)?)?;
    Ok(())
}
