"""Who may use the next packet numbers: we, or the bypass (`mqvpn_core.dataplane.bypass`)."""


class NumberLoan:
    """One for all paths whose packets go by one bypass.

    Two packets with one number under one key would give the key stream away (RFC 9001 s5.3), so
    `SentPackets.reserve` refuses while the numbers are out, whatever the order of calls.
    """

    __slots__ = ("is_out",)

    def __init__(self) -> None:
        self.is_out = False
        """The bypass is running."""
