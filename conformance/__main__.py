"""``python -m conformance``: the same as ``isthmus-conformance``."""

from conformance.cli import main

main()
