"""``python -m benchmarks [listing|launching|starting|storing|networking|scale|occi …] [--quick]``."""

from __future__ import annotations

import argparse

from benchmarks import launching, listing, networking, occi, scale, starting, storing

PARTS = {
    "listing": listing.run,
    "launching": launching.run,
    "starting": starting.run,
    "storing": storing.run,
    "networking": networking.run,
    "scale": scale.run,
    "occi": occi.run,
}

parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
parser.add_argument("--quick", action="store_true", help="fewer sizes and repeats")
options = parser.parse_args()
if unknown := set(options.parts) - set(PARTS):
    parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
for name, run in PARTS.items():
    if not options.parts or name in options.parts:
        run(quick=options.quick)
