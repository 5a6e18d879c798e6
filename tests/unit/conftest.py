"""What unit tests share: a cloud in memory, and its tenants' OCCI clients.

Unit tests run without libvirt, too: those of modules that import it are left out then.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from tests.support.occi_face import Client
from tests.support.simulation import Cloud

_OF_LIBVIRT = ("keys", "local_storage", "storage_files", "uri", "xml")

collect_ignore = [] if find_spec("libvirt") else [f"test_libvirt_{name}.py" for name in _OF_LIBVIRT]


@pytest.fixture
def cloud():
    return Cloud()


@pytest.fixture
def ann(cloud):
    return Client(cloud, cloud.caller)


@pytest.fixture
def bob(cloud):
    return Client(cloud, cloud.other)
