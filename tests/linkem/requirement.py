"""What tests over emulated links need besides root: a compiler, once."""

import os

import pytest

from tests.linkem.building import EmulatorError, emulator_executable


def need_emulator() -> None:
    """Skip where the emulator cannot be compiled, or fail where it must be."""
    try:
        emulator_executable()
    except EmulatorError as error:
        if os.environ.get("MQVPN_E2E") == "require":
            raise
        pytest.skip(str(error))
