"""``python -m tests.fuzz occi [--messages N] [--seed S] [--server | --http]``: mutated messages, and no harm done.

At the parsers a message is refused, or read and written and read again to the same. At a server (``--server``:
a gateway in this process; ``--http``: one of its own behind HTTP) no answer is an error of the server's, what is
refused changes nothing, and nobody else's things change. The same seed makes the same messages; ``--first`` begins
with another one than the first. Exit status: 0 when nothing failed, 1 otherwise, 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path[:0] = [str(FOLDER), str(FOLDER.parent / "support")]

import campaign  # noqa: E402
import occi_parser  # noqa: E402
from mutation import Mutator  # noqa: E402


def main() -> int:
    """Run as the command line says; answers the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["occi"])
    parser.add_argument("--messages", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="S")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number of the first message")
    parser.add_argument(
        "--limit", type=float, metavar="SECONDS", help="what one message may take (parser 1, server 10)"
    )
    parser.add_argument("--failures", type=int, default=20, metavar="N", help="stop after so many")
    parser.add_argument(
        "--keep", type=Path, default=Path(".cache/fuzz"), metavar="FOLDER", help="for messages that failed"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--server", action="store_true", help="a gateway in this process")
    where.add_argument("--http", action="store_true", help="a gateway of its own, by HTTP")
    given = parser.parse_args()
    campaign.arm()
    mutator = Mutator(given.seed)
    keep = given.keep / f"{'server' if given.server else 'http' if given.http else 'parser'}-{given.seed}"
    options = {"first": given.first, "count": given.messages, "most_failures": given.failures, "keep": keep}
    if given.server or given.http:
        import occi_server

        outcome = occi_server.run(mutator, http=given.http, limit=given.limit or 10.0, **options)
    else:
        outcome = campaign.run(mutator.message, occi_parser.judge, limit=given.limit or 1.0, **options)
    print(f"seed {given.seed}: {outcome}")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
