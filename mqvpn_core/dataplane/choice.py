"""Which kernel carries the packets, and why: the rule, without the import itself."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from mqvpn_core.errors import ConfigError

VARIABLE = "MQVPN_DATAPLANE"
"""Environment variable that forces a kernel."""
REFERENCE = "reference"
NATIVE = "native"

HOW_TO_BUILD = "MQVPN_NATIVE=require pip install ."
"""In the source tree; says what is missing where it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelChoice:
    """A kernel and the reason for it."""

    name: str
    """``native`` or ``reference``."""
    reason: str
    """Why this one, in a few words; what to do for the faster one where that is possible."""
    module: ModuleType | None
    """The native kernel; ``None``: the reference."""


def choose_kernel(wish: str, abi: int, load: Callable[[], ModuleType]) -> KernelChoice:
    """Take the native kernel where it is there and fits, unless something else is wished for.

    Args:
        wish: value of `VARIABLE`; empty: no wish.
        abi: ABI number of the Python code.
        load: imports the native kernel.

    Raises:
        ConfigError: the wish is unknown, or the native kernel cannot be had.
    """
    if wish == REFERENCE:
        return KernelChoice(name=REFERENCE, reason=f"{VARIABLE}={REFERENCE}", module=None)
    if wish not in {"", NATIVE}:
        raise ConfigError(f"{VARIABLE} is {wish!r}: write {NATIVE} or {REFERENCE}")
    try:
        module = load()
    except ImportError as error:
        is_missing = isinstance(error, ModuleNotFoundError)
        obstacle = "not built" if is_missing else f"not loadable: {error}"
    else:
        found: object = getattr(module, "ABI", None)
        if found == abi:
            reason = "it is built" if not wish else f"{VARIABLE}={NATIVE}"
            return KernelChoice(name=NATIVE, reason=reason, module=module)
        obstacle = f"left over from another version, ABI {found} instead of {abi}"
    if wish == NATIVE:
        raise ConfigError(
            f"{VARIABLE}={NATIVE}, but the native kernel is {obstacle}; build it: {HOW_TO_BUILD}"
        )
    return KernelChoice(
        name=REFERENCE,
        reason=f"the native kernel is {obstacle}; for the faster one: {HOW_TO_BUILD}",
        module=None,
    )
