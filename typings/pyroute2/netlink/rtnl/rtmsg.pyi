from pyroute2.netlink import nlmsg_base

class rtmsg(nlmsg_base): ...  # noqa: N801 - pyroute2's name
