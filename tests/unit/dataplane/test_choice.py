from types import ModuleType, SimpleNamespace

import pytest

from mqvpn_core.dataplane import kernel, reference
from mqvpn_core.dataplane.choice import HOW_TO_BUILD, choose_kernel
from mqvpn_core.errors import ConfigError


def built(abi: object) -> ModuleType:
    module = ModuleType("built")
    vars(module).update(vars(SimpleNamespace(ABI=abi)))
    return module


def missing() -> ModuleType:
    raise ModuleNotFoundError("No module named '_native'")


def broken() -> ModuleType:
    raise ImportError("wrong ELF class")


def not_to_be_loaded() -> ModuleType:
    raise AssertionError("loaded although the reference was asked for")


@pytest.mark.parametrize("wish", ["", "native"])
def test_a_native_kernel_that_fits_is_taken(wish: str) -> None:
    module = built(7)
    choice = choose_kernel(wish, 7, lambda: module)
    assert choice.name == "native"
    assert choice.module is module


def test_the_reference_can_be_forced() -> None:
    choice = choose_kernel("reference", 7, not_to_be_loaded)
    assert (choice.name, choice.module) == ("reference", None)
    assert choice.reason == "MQVPN_DATAPLANE=reference"


def test_without_a_native_kernel_the_reference_works_and_says_how_to_be_faster() -> None:
    choice = choose_kernel("", 7, missing)
    assert (choice.name, choice.module) == ("reference", None)
    assert "not built" in choice.reason
    assert HOW_TO_BUILD in choice.reason


def test_a_kernel_that_cannot_be_loaded_is_named_with_its_reason() -> None:
    choice = choose_kernel("", 7, broken)
    assert choice.name == "reference"
    assert "wrong ELF class" in choice.reason


@pytest.mark.parametrize("abi", [6, 8, None])
def test_a_kernel_of_another_version_counts_as_absent(abi: object) -> None:
    choice = choose_kernel("", 7, lambda: built(abi))
    assert (choice.name, choice.module) == ("reference", None)
    assert f"ABI {abi} instead of 7" in choice.reason


def test_the_native_kernel_cannot_be_forced_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match=HOW_TO_BUILD):
        choose_kernel("native", 7, missing)
    with pytest.raises(ConfigError, match="ABI 6"):
        choose_kernel("native", 7, lambda: built(6))


def test_an_unknown_wish_is_refused() -> None:
    with pytest.raises(ConfigError, match="'fast': write native or reference"):
        choose_kernel("fast", 7, missing)


def test_the_kernel_in_use_is_the_one_chosen() -> None:
    chosen = kernel.KERNEL_CHOICE.module or reference
    assert kernel.seal_batch is chosen.seal_batch
    assert kernel.seal_runs is chosen.seal_runs
    assert kernel.open_batch is chosen.open_batch
    assert kernel.PacketKeys is chosen.PacketKeys
    is_reference = chosen is reference
    assert (kernel.KERNEL_NAME == "reference") is is_reference
