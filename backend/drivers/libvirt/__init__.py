"""The libvirt driver: hosts by libvirt URI, with everything that makes libvirt safe to depend on.

Import :mod:`backend.drivers.libvirt.hosts` only in the worker process and only after its fork: a connection
or an event loop does not survive ``fork()``.
"""

import os

# The C library reads this once, when it is loaded. What it would log (every error, every tainted domain) is a
# daemon's log; errors reach us as exceptions.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null")
