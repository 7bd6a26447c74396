from collections.abc import Sequence
from typing import Literal, TypedDict, overload

class _Header(TypedDict):
    type: int
    flags: int
    sequence_number: int
    pid: int
    error: Exception | None

class nlmsg_base:  # noqa: N801 - pyroute2's name
    data: bytearray
    @overload
    def __getitem__(  # type: ignore[overload-overlap]  # every other field is a number
        self, field: Literal["header"]
    ) -> _Header: ...
    @overload
    def __getitem__(self, field: str) -> int: ...
    def __setitem__(self, field: str, value: int | Sequence[tuple[str, int | str]]) -> None: ...
    def get_attr(self, name: str) -> object: ...
    def encode(self) -> None: ...

class nlmsg(nlmsg_base): ...  # noqa: N801 - pyroute2's name
