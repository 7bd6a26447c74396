"""What the program calls itself."""

from importlib.metadata import version

from mqvpn_core.app.version import program_version, version_line


def test_version_names_kernel_python_and_aioquic() -> None:
    assert program_version() == version("mqvpn")
    assert version_line().startswith(f"mqvpn-core {program_version()} (kernel: reference; Python 3")
    assert f"aioquic {version('aioquic')}" in version_line()
