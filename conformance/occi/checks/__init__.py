"""All checks of OCCI: importing this imports each module here, which fills the suite."""

from importlib import import_module
from pkgutil import iter_modules

from conformance.occi.suite import SUITE

for _module in sorted(each.name for each in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")

__all__ = ["SUITE"]
