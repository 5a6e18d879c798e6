// A cloud that lets nobody ask often: the SDK waits and asks again, as it does in EC2.

import assert from "node:assert/strict";
import { test } from "node:test";

import { DescribeRegionsCommand, DescribeVpcsCommand } from "@aws-sdk/client-ec2";

import { ec2 } from "./clients.mjs";

test("too many requests are made once more, until they are answered", async () => {
  const client = ec2({ maxAttempts: 12 });
  const asked = Array.from({ length: 8 }, () => client.send(new DescribeRegionsCommand({})));
  const answers = await Promise.all(asked);
  assert.ok(answers.every((each) => each.Regions.length > 0));
  const attempts = answers.map((each) => each.$metadata.attempts);
  assert.ok(Math.max(...attempts) > 1, String(attempts));
  const waited = answers.map((each) => each.$metadata.totalRetryDelay);
  assert.ok(Math.max(...waited) > 0, String(waited));
});

test("who asks only once is told why", async () => {
  const impatient = ec2({ maxAttempts: 1 });
  const asked = Array.from({ length: 40 }, () => impatient.send(new DescribeVpcsCommand({})).catch((error) => error));
  const [error] = (await Promise.all(asked)).filter((each) => each instanceof Error);
  assert.equal(error.name, "RequestLimitExceeded");
  assert.equal(error.message, "Request limit exceeded.");
  assert.equal(error.$metadata.httpStatusCode, 503);
  assert.match(error.$metadata.requestId, /^[0-9a-f-]{36}$/);
});
