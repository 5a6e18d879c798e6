// Clients as a user makes them, with everything from the environment, and a record of every reply.

import assert from "node:assert/strict";
import { appendFileSync } from "node:fs";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";

import { EC2Client } from "@aws-sdk/client-ec2";
import { STSClient } from "@aws-sdk/client-sts";

export const image = process.env.IMAGE;
export const patience = { maxWaitTime: 240, minDelay: 1, maxDelay: 2 };

export function ec2(settings = {}) {
  return recorded(new EC2Client(settings));
}

export function sts(settings = {}) {
  return recorded(new STSClient(settings));
}

// Every reply's bytes are kept as they came: the test reads them again with a parser that forgives nothing.
function recorded(client) {
  client.middlewareStack.add(
    (next) => async (request) => {
      const { response, ...rest } = await next(request);
      const pieces = [];
      for await (const piece of response.body) pieces.push(piece);
      const body = Buffer.concat(pieces);
      const { headers, statusCode } = response;
      const line = { action: new URLSearchParams(request.request.body).get("Action"), statusCode, headers, body: body.toString() };
      appendFileSync(process.env.REPLIES, JSON.stringify(line) + "\n");
      response.body = Readable.from([body]);
      return { ...rest, response };
    },
    { name: "record", step: "deserialize", priority: "low" },
  );
  return client;
}

// What a condition answers as soon as it is truthy.
export async function until(what, condition) {
  for (const end = Date.now() + 240_000; Date.now() < end; await sleep(1000)) {
    const found = await condition();
    if (found) return found;
  }
  assert.fail(`${what}: not in time`);
}

export const named = (kind, name, ...more) => ({
  ResourceType: kind,
  Tags: [{ Key: "Name", Value: name }, ...more],
});

export const filter = (Name, ...Values) => ({ Name, Values });

// The refusal of a command: its code is the error's name.
export async function refusal(client, command) {
  try {
    await client.send(command);
  } catch (error) {
    assert.match(error.$metadata.requestId ?? "", /^[0-9a-f-]{36}$/, String(error));
    return error;
  }
  return assert.fail("it was not refused");
}
