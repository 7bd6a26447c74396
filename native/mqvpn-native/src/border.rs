//! What every function at the border to Python needs.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PySequence};

/// Batches of fewer bytes are worked on with the lock of the interpreter held: giving it up and
/// waiting for it costs more than the work.
pub const MIN_UNLOCKED_BYTES: usize = 8192;

/// Runs a function; a panic in it becomes a `RuntimeError`.
///
/// The exception that `PyO3` makes of a panic is no `Exception`, and would end the process.
pub fn guarded<T>(work: impl FnOnce() -> PyResult<T>) -> PyResult<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(PyRuntimeError::new_err("the native kernel has a bug: it panicked"))
    })
}

/// Does work on bytes that no Python code can see, without the lock if the batch is large.
pub fn unlocked<T: Send>(py: Python<'_>, batch_bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    if batch_bytes < MIN_UNLOCKED_BYTES { work() } else { py.detach(work) }
}

/// Returns the number of an error, as Python knows it.
pub fn number_of(error: Errno) -> i32 {
    io::Error::from(error).raw_os_error().unwrap_or_default()
}

/// Takes a sequence of `bytes`.
pub fn bytes_of<'py>(sequence: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    if let Ok(list) = sequence.cast::<PyList>() {
        return list.iter().map(to_bytes).collect();
    }
    let sequence = sequence.cast::<PySequence>()?;
    sequence.try_iter()?.map(|item| to_bytes(item?)).collect()
}

fn to_bytes(item: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyBytes>> {
    item.cast_into::<PyBytes>().map_err(|_| PyTypeError::new_err("a packet must be bytes"))
}
