"""The Debian guest of the slow tests: the real cloud-init, unlike the test guest (conformance/guest/README.md)."""

import fcntl
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEMORY_MIB = 384
"""What it needs to boot."""
LOGIN = "debian"
"""The user who gets the keys; root's login is refused by Debian's own settings."""


def debian_guest_possible() -> bool:
    """Whether this user may build it, or it is there already."""
    return os.geteuid() == 0 or _image().exists()


def debian_guest_image() -> Path:
    """The image for the present recipe, to be read only; whoever comes first builds it, in a minute or two.

    The lock is for installing the packages that the build needs: the build has one of its own.
    """
    image = _image()
    image.parent.mkdir(parents=True, exist_ok=True)
    with (image.parent / "debian-setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [ROOT / "script/setup", "--debian-guest"], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise RuntimeError(f"the Debian guest could not be built: {done.stderr}")
    return image


def _image() -> Path:
    return Path(os.environ.get("ISTHMUS_CACHE", ROOT / ".cache")) / "guest" / "debian.qcow2"
