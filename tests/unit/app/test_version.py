"""What the program calls itself."""

from importlib.metadata import version

from mqvpn_core.app.version import kernel_line, program_version, version_line
from mqvpn_core.dataplane.kernel import KERNEL_CHOICE


def test_version_names_kernel_python_and_aioquic() -> None:
    assert program_version() == version("mqvpn")
    start = f"mqvpn-core {program_version()} (kernel: {KERNEL_CHOICE.name}; Python 3"
    assert version_line().startswith(start)
    assert f"aioquic {version('aioquic')}" in version_line()


def test_version_says_why_this_kernel() -> None:
    assert kernel_line() == f"kernel {KERNEL_CHOICE.name} because: {KERNEL_CHOICE.reason}"
