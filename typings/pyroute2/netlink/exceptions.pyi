class NetlinkError(Exception):
    code: int

class NetlinkDumpInterrupted(NetlinkError): ...
