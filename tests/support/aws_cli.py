"""The AWS command line client, either version, as somebody who types."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from live_cloud import Key, LiveCloud

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("ISTHMUS_CACHE", REPOSITORY / ".cache"))
PROGRAMS = {"v1": str(CACHE / "awscli" / "bin" / "aws"), "v2": "/usr/bin/aws"}
PATIENCE = 300.0


class Done(NamedTuple):
    """An exit status and what was printed."""

    status: int
    out: str
    err: str


class AwsCli:
    """`aws ec2` of one tenant."""

    def __init__(self, version: str, cloud: LiveCloud, key: Key) -> None:
        self._program = PROGRAMS[version]
        self._cloud = cloud
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": key.id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
            "AWS_DEFAULT_REGION": cloud.facts["region"],
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_PAGER": "",
        }

    def run(self, *words: str, service: str = "ec2", endpoint: bool = True, **environment: str) -> Done:
        """Run it, whatever comes of it."""
        where = ("--endpoint-url", self._cloud.endpoint) if endpoint else ()
        done = subprocess.run(
            [self._program, *where, service, *words],
            env={**self._environment, **environment},
            check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE,
        )  # fmt: skip
        return Done(done.returncode, done.stdout, done.stderr)

    def text(self, *words: str, service: str = "ec2") -> str:
        """What it prints; it must succeed."""
        done = self.run(*words, service=service)
        assert done.status == 0, f"aws {service} {' '.join(words)}: {done.err}"
        return done.out.rstrip("\n")

    def __call__(self, *words: str, service: str = "ec2") -> Any:
        """The JSON that it prints, None for nothing."""
        out = self.text(*words, "--output", "json", service=service)
        return json.loads(out) if out else None

    def refusal(self, *words: str) -> tuple[str, str]:
        """Code and message of the error that it reports."""
        done = self.run(*words)
        assert done.status in {254, 255}, f"aws ec2 {' '.join(words)}: {done}"
        head, _, rest = done.err.strip().partition("An error occurred (")
        assert head.strip() in {"", "aws: [ERROR]:"}, done.err
        code, _, rest = rest.partition(") when calling the ")
        return code, rest.partition(" operation: ")[2]

    def version(self) -> str:
        """Such as ``aws-cli/2.9.19``."""
        done = subprocess.run([self._program, "--version"], check=True, capture_output=True, text=True)
        return (done.stdout or done.stderr).split()[0]
