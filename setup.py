"""Builds the optional native kernel; everything else is in pyproject.toml.

``MQVPN_NATIVE`` in the environment: ``auto`` (default) builds it where cargo can and goes on
without where it cannot, ``require`` fails there, ``off`` does not try and makes a pure wheel.
"""

import os

from setuptools import setup
from setuptools_rust import RustExtension

_WISH = os.environ.get("MQVPN_NATIVE", "auto")
if _WISH not in {"auto", "require", "off"}:
    raise SystemExit(f"MQVPN_NATIVE is {_WISH!r}: write auto, require or off")

_NATIVE = RustExtension(
    "mqvpn_core.dataplane._native",
    path="native/mqvpn-native/Cargo.toml",
    args=["--locked"],
    # Also in an editable install: the debug build is slower than the reference.
    debug=False,
    optional=_WISH == "auto",
)

if _WISH == "off":
    setup()
else:
    # One file for every CPython from 3.11 on.
    setup(rust_extensions=[_NATIVE], options={"bdist_wheel": {"py_limited_api": "cp311"}})
