"""Version 2 of the AWS command line client against the gateway, with real guests."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("aws_cli_scenario")

from aws_cli import AwsCli  # noqa: E402
from aws_cli_scenario import AwsCliScenario  # noqa: E402

pytestmark = pytest.mark.qemu


class TestVersion2(AwsCliScenario):
    VERSION = "v2"

    def test_it_is_this_version(self, aws: AwsCli):
        assert aws.version().startswith("aws-cli/2.")
