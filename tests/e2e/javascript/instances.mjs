// Guests and their disks: launched, looked for, waited for, changed and ended.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  AttachVolumeCommand, CreateImageCommand, CreateKeyPairCommand, CreateSnapshotCommand, CreateTagsCommand,
  CreateVolumeCommand, DeleteKeyPairCommand, DeleteSnapshotCommand, DeleteTagsCommand, DeleteVolumeCommand,
  DeregisterImageCommand, DescribeImagesCommand, DescribeInstanceAttributeCommand,
  DescribeInstanceStatusCommand, DescribeInstancesCommand, DescribeTagsCommand, DescribeVolumesCommand,
  DetachVolumeCommand, GetConsoleOutputCommand, ModifyInstanceAttributeCommand, ModifyVolumeCommand,
  RebootInstancesCommand, RunInstancesCommand, StartInstancesCommand, StopInstancesCommand,
  TerminateInstancesCommand, waitUntilImageAvailable, waitUntilInstanceRunning, waitUntilInstanceStopped,
  waitUntilInstanceTerminated, waitUntilSnapshotCompleted, waitUntilVolumeAvailable, waitUntilVolumeDeleted,
  waitUntilVolumeInUse,
} from "@aws-sdk/client-ec2";

import { ec2, filter, image, named, patience, until } from "./clients.mjs";

const client = ec2();
const waiting = { client, ...patience };
const launched = [];
let ids;

async function run(count, more = {}) {
  const reply = await client.send(
    new RunInstancesCommand({ ImageId: image, InstanceType: "t2.nano", MinCount: count, MaxCount: count, ...more }),
  );
  launched.push(...reply.Instances.map((each) => each.InstanceId));
  return reply.Instances;
}

async function described(...InstanceIds) {
  const { Reservations } = await client.send(new DescribeInstancesCommand({ InstanceIds }));
  return Reservations.flatMap((each) => each.Instances);
}

async function console_(InstanceId) {
  const { Output } = await client.send(new GetConsoleOutputCommand({ InstanceId, Latest: true }));
  return Buffer.from(Output ?? "", "base64").toString();
}

const says = (id, text) => until(`${id} says ${text}`, async () => (await console_(id)).includes(text));

before(async () => {
  await client.send(new CreateKeyPairCommand({ KeyName: "javascript", KeyType: "ed25519" }));
  const script = '#!/bin/sh\necho "hello from JavaScript: <&> žluť"\n';
  const made = await run(2, {
    KeyName: "javascript",
    UserData: Buffer.from(script).toString("base64"),
    ClientToken: "javascript-two",
    TagSpecifications: [named("instance", "one of two", { Key: "odd", Value: "<&\"'> žluť" })],
    BlockDeviceMappings: [{ DeviceName: "/dev/sdf", Ebs: { VolumeSize: 1, DeleteOnTermination: true } }],
  });
  ids = made.map((each) => each.InstanceId);
  assert.deepEqual(made.map((each) => each.State.Name), ["pending", "pending"]);
  assert.deepEqual(made.map((each) => each.AmiLaunchIndex), [0, 1]);
  const again = await run(2, {
    KeyName: "javascript",
    UserData: Buffer.from(script).toString("base64"),
    ClientToken: "javascript-two",
    TagSpecifications: [named("instance", "one of two", { Key: "odd", Value: "<&\"'> žluť" })],
    BlockDeviceMappings: [{ DeviceName: "/dev/sdf", Ebs: { VolumeSize: 1, DeleteOnTermination: true } }],
  });
  assert.deepEqual(again.map((each) => each.InstanceId), ids);
  const { state, reason } = await waitUntilInstanceRunning(waiting, { InstanceIds: ids });
  assert.equal(state, "SUCCESS");
  assert.equal(reason.Reservations[0].Instances.length, 2);
});

after(async () => {
  await client.send(new TerminateInstancesCommand({ InstanceIds: launched }));
  await waitUntilInstanceTerminated(waiting, { InstanceIds: launched });
  await client.send(new DeleteKeyPairCommand({ KeyName: "javascript" }));
  const { Volumes } = await client.send(new DescribeVolumesCommand({}));
  assert.deepEqual(Volumes, []);
});

test("what is described is typed as the SDK types it", async () => {
  const [one] = await described(ids[0]);
  assert.ok(one.LaunchTime instanceof Date);
  assert.ok(Math.abs(one.LaunchTime - Date.now()) < 600_000);
  assert.equal(one.State.Code, 16);
  assert.equal(one.KeyName, "javascript");
  assert.equal(one.EbsOptimized, false);
  assert.equal(one.CpuOptions.CoreCount, 1);
  assert.equal(one.Tags.find((tag) => tag.Key === "odd").Value, "<&\"'> žluť");
  assert.deepEqual(one.ProductCodes, []);
  assert.deepEqual(one.BlockDeviceMappings.map((each) => each.DeviceName).sort(), ["/dev/sdf", "/dev/vda"]);
  assert.equal(one.NetworkInterfaces[0].PrivateIpAddress, one.PrivateIpAddress);
  assert.equal(one.NetworkInterfaces[0].Groups[0].GroupName, "default");
  const { UserData } = await client.send(
    new DescribeInstanceAttributeCommand({ InstanceId: ids[0], Attribute: "userData" }),
  );
  assert.match(Buffer.from(UserData.Value, "base64").toString(), /JavaScript: <&> žluť/);
});

test("tags are given, found by, and taken away", async () => {
  const Resources = [ids[0]];
  await client.send(new CreateTagsCommand({ Resources, Tags: [{ Key: "role", Value: "first" }, { Key: "empty", Value: "" }] }));
  const { Tags } = await client.send(new DescribeTagsCommand({ Filters: [filter("resource-id", ids[0])] }));
  assert.deepEqual(Tags.map((tag) => tag.Key).sort(), ["Name", "empty", "odd", "role"]);
  assert.equal(Tags.find((tag) => tag.Key === "empty").Value, "");
  const { Reservations } = await client.send(new DescribeInstancesCommand({ Filters: [filter("tag:role", "f?rst*")] }));
  assert.deepEqual(Reservations.flatMap((each) => each.Instances.map((one) => one.InstanceId)), Resources);
  await client.send(new DeleteTagsCommand({ Resources, Tags: [{ Key: "role" }, { Key: "empty", Value: "" }] }));
  const [one] = await described(ids[0]);
  assert.deepEqual(one.Tags.map((tag) => tag.Key).sort(), ["Name", "odd"]);
});

test("user data runs in the guest, and the console tells", async () => {
  await says(ids[0], "user-data: hello from JavaScript: <&> žluť");
  await says(ids[1], "isthmus-guest: ready");
  const { InstanceStatuses } = await client.send(new DescribeInstanceStatusCommand({ InstanceIds: [ids[0]] }));
  assert.equal(InstanceStatuses[0].InstanceState.Name, "running");
});

test("a volume is plugged, found by the guest, and unplugged", async () => {
  const [one] = await described(ids[0]);
  const { VolumeId } = await client.send(
    new CreateVolumeCommand({
      AvailabilityZone: one.Placement.AvailabilityZone, Size: 1, VolumeType: "gp3",
      TagSpecifications: [named("volume", "plugged")],
    }),
  );
  await waitUntilVolumeAvailable(waiting, { VolumeIds: [VolumeId] });
  const attached = await client.send(new AttachVolumeCommand({ VolumeId, InstanceId: ids[0], Device: "/dev/sdg" }));
  assert.equal(attached.State, "attaching");
  await waitUntilVolumeInUse(waiting, { VolumeIds: [VolumeId] });
  const serial = VolumeId.replace("-", "");
  await says(ids[0], `added size=1073741824 serial=${serial}`);
  const { SnapshotId } = await client.send(new CreateSnapshotCommand({ VolumeId, Description: "plugged" }));
  await waitUntilSnapshotCompleted(waiting, { SnapshotIds: [SnapshotId] });
  const modified = await client.send(new ModifyVolumeCommand({ VolumeId, Size: 2 }));
  assert.equal(modified.VolumeModification.TargetSize, 2);
  await says(ids[0], "resized size=2147483648");
  await client.send(new DetachVolumeCommand({ VolumeId }));
  await waitUntilVolumeAvailable(waiting, { VolumeIds: [VolumeId] });
  await says(ids[0], "removed");
  await client.send(new DeleteVolumeCommand({ VolumeId }));
  await waitUntilVolumeDeleted(waiting, { VolumeIds: [VolumeId] });
  await client.send(new DeleteSnapshotCommand({ SnapshotId }));
});

test("a guest stops, changes, starts and reboots", async () => {
  const InstanceIds = [ids[1]];
  const { StoppingInstances } = await client.send(new StopInstancesCommand({ InstanceIds }));
  assert.equal(StoppingInstances[0].PreviousState.Name, "running");
  assert.equal(StoppingInstances[0].CurrentState.Name, "stopping");
  await waitUntilInstanceStopped(waiting, { InstanceIds });
  assert.match(await console_(ids[1]), /isthmus-guest: power button/);
  await client.send(new ModifyInstanceAttributeCommand({ InstanceId: ids[1], InstanceType: { Value: "t2.micro" } }));
  const { StartingInstances } = await client.send(new StartInstancesCommand({ InstanceIds }));
  assert.equal(StartingInstances[0].PreviousState.Name, "stopped");
  await waitUntilInstanceRunning(waiting, { InstanceIds });
  const [one] = await described(ids[1]);
  assert.equal(one.InstanceType, "t2.micro");
  await says(ids[1], '"boots":2');
  await client.send(new RebootInstancesCommand({ InstanceIds }));
  await says(ids[1], '"boots":3');
});

test("an image of a guest is launched", async () => {
  const { ImageId } = await client.send(
    new CreateImageCommand({
      InstanceId: ids[1], Name: "of javascript", NoReboot: true, TagSpecifications: [named("image", "copy")],
    }),
  );
  await waitUntilImageAvailable(waiting, { ImageIds: [ImageId] });
  const { Images } = await client.send(new DescribeImagesCommand({ Owners: ["self"] }));
  assert.deepEqual(Images.map((each) => each.ImageId), [ImageId]);
  assert.ok(!Number.isNaN(Date.parse(Images[0].CreationDate)));
  assert.equal(Images[0].BlockDeviceMappings.length, 2);
  const [copy] = await run(1, { ImageId });
  await waitUntilInstanceRunning(waiting, { InstanceIds: [copy.InstanceId] });
  await says(copy.InstanceId, '"boots":4');
  await client.send(new DeregisterImageCommand({ ImageId }));
  for (const mapping of Images[0].BlockDeviceMappings) {
    await client.send(new DeleteSnapshotCommand({ SnapshotId: mapping.Ebs.SnapshotId }));
  }
});
