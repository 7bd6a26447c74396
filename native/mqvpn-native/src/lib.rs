//! The Python module `mqvpn_core.dataplane._native`: a thin layer over `mqvpn-kernel`.
//!
//! Its functions have the names, arguments and results of `mqvpn_core/dataplane/reference.py`.

mod batch;
mod border;
mod bypass;
mod datagram_buffer;
mod datagrams;
mod destination;
mod device;
mod flight;
mod opening;
mod packet_keys;
mod reading;
mod sealing;
mod trains;
mod values;

use pyo3::prelude::*;

/// Changes with every change of a signature or a result: a build that is left over from another
/// version of the Python code must not be used.
const ABI: u32 = 13;

/// Data plane in Rust; go through `mqvpn_core.dataplane.kernel`.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ABI", ABI)?;
    module.add_class::<packet_keys::PacketKeys>()?;
    module.add_function(wrap_pyfunction!(sealing::seal_batch, module)?)?;
    module.add_function(wrap_pyfunction!(sealing::seal_runs, module)?)?;
    module.add_function(wrap_pyfunction!(flight::plan_flight, module)?)?;
    module.add_class::<flight::Flight>()?;
    module.add_function(wrap_pyfunction!(opening::open_batch, module)?)?;
    module.add_function(wrap_pyfunction!(opening::open_segments, module)?)?;
    module.add_function(wrap_pyfunction!(opening::share_destination, module)?)?;
    module.add_class::<trains::PacketTrain>()?;
    module.add_class::<reading::DatagramReader>()?;
    module.add_class::<datagram_buffer::DatagramBuffer>()?;
    module.add_class::<device::FrameReader>()?;
    module.add_function(wrap_pyfunction!(trains::split_frames, module)?)?;
    module.add_function(wrap_pyfunction!(trains::join_packets, module)?)?;
    module.add_function(wrap_pyfunction!(trains::write_packets, module)?)?;
    module.add_class::<bypass::FlowSet>()?;
    module.add_class::<bypass::KeptParcels>()?;
    module.add_class::<bypass::Bypass>()?;
    Ok(())
}
