class NetlinkError(Exception):
    code: int

class NetlinkDumpInterrupted(NetlinkError): ...  # noqa: N818 - pyroute2's name
