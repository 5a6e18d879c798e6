"""Version 1 of the AWS command line client against the gateway, with real guests."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("aws_cli_scenario")

from aws_cli import AwsCli  # noqa: E402
from aws_cli_scenario import AwsCliScenario  # noqa: E402
from live_cloud import LiveCloud  # noqa: E402

pytestmark = pytest.mark.qemu


class TestVersion1(AwsCliScenario):
    VERSION = "v1"

    def test_it_is_this_version(self, aws: AwsCli):
        assert aws.version().startswith("aws-cli/1.")

    def test_the_environment_is_enough(self, aws: AwsCli, client_cloud: LiveCloud):
        done = aws.run("describe-regions", endpoint=False, AWS_ENDPOINT_URL_EC2=client_cloud.endpoint)
        assert client_cloud.facts["region"] in done.out, done.err
