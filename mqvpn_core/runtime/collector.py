"""The collector of garbage looks at what comes and goes, not at what the program consists of.

A full collection looks at every object there is. Modules, classes and functions are some 80,000, it
takes 25 ms and more to find that none of them is garbage, and in all that time nobody attends to
packets: the queue of the device overflows when they come fast.
"""

import gc


def spare_what_stays() -> None:
    """Leave out of every later collection what exists now; this itself takes as long as one."""
    gc.collect()
    gc.freeze()
