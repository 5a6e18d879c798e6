"""A guest that writes numbered records to every volume it finds, and says on its console what is there.

Record ``n`` is a block of 4096 bytes that begins with ``rec`` and thirteen digits. A volume's records end at the
first block that is none. The guest flushes a record before it speaks of it, so every record that was spoken of
must be there for ever.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

SCRIPT = r"""#!/bin/sh
say() { echo "$@" > /dev/console; }
serve() {
  d=$1; s=$2; n=0
  while :; do
    want=$(printf 'rec%013d' $n)
    have=$(dd if=/dev/$d bs=4096 skip=$n count=1 2>/dev/null | head -c 16 | tr -d '\000')
    [ "$have" = "$want" ] || break
    n=$((n+1))
  done
  sum=$(dd if=/dev/$d bs=4096 count=$n 2>/dev/null | sha256sum | cut -c1-64)
  say "records $s found $n $sum"
  while [ -e /sys/block/$d ] && [ "$(cat /sys/block/$d/serial)" = "$s" ]; do
    printf 'rec%013d' $n | dd of=/dev/$d bs=4096 seek=$n conv=notrunc,fsync 2>/dev/null || break
    n=$((n+1))
    say "records $s wrote $n"
    sleep 1
  done
  say "records $s lost"
}
(
  known=" "
  while :; do
    now=" "
    for p in /sys/block/vd*; do
      d=${p##*/}; s=$(cat $p/serial 2>/dev/null)
      case "$s" in
        vol*) [ $d = vda ] && continue
          now="$now$d:$s "
          case "$known" in *" $d:$s "*) ;; *) serve $d $s & ;; esac;;
      esac
    done
    known="$now"
    sleep 1
  done
) &
"""


class Records(NamedTuple):
    """How many records a guest found when it first looked, and their SHA-256."""

    count: int
    checksum: str


def found(console: str, volume_id: str) -> list[Records]:
    """What guests said that they found on a volume, in order."""
    pattern = rf"records {serial(volume_id)} found (\d+) ([0-9a-f]{{64}})"
    return [Records(int(count), checksum) for count, checksum in re.findall(pattern, console)]


def written(console: str, volume_id: str) -> int:
    """The number of records that a guest said it has flushed to a volume, 0 when it said none."""
    counts = re.findall(rf"records {serial(volume_id)} wrote (\d+)\b", console)
    return max((int(count) for count in counts), default=0)


def serial(volume_id: str) -> str:
    """By which a guest knows a volume."""
    return volume_id.replace("-", "")


def checksum(count: int) -> str:
    """The SHA-256 of so many records."""
    digest = hashlib.sha256()
    for number in range(count):
        digest.update(f"rec{number:013d}".encode().ljust(4096, b"\0"))
    return digest.hexdigest()
