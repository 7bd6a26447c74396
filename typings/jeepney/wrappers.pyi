from jeepney.low_level import Message

class DBusAddress:
    object_path: str
    bus_name: str | None
    interface: str | None
    def __init__(
        self, object_path: str, bus_name: str | None = ..., interface: str | None = ...
    ) -> None: ...
    def with_interface(self, interface: str) -> DBusAddress: ...

class DBusErrorResponse(Exception):
    name: str
    data: tuple[object, ...]
    def __init__(self, msg: Message) -> None: ...

def new_method_call(
    remote_obj: DBusAddress,
    method: str,
    signature: str | None = ...,
    body: tuple[object, ...] = ...,
) -> Message: ...
def new_method_return(
    parent_msg: Message, signature: str | None = ..., body: tuple[object, ...] = ...
) -> Message: ...
def new_error(
    parent_msg: Message,
    error_name: str,
    signature: str | None = ...,
    body: tuple[object, ...] = ...,
) -> Message: ...
def new_signal(
    emitter: DBusAddress,
    signal: str,
    signature: str | None = ...,
    body: tuple[object, ...] = ...,
) -> Message: ...
def unwrap_msg(msg: Message) -> tuple[object, ...]: ...
