// What is no guest: the account, regions, networks, addresses, keys; and refusals of every kind.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AllocateAddressCommand, AuthorizeSecurityGroupIngressCommand, CreateKeyPairCommand,
  CreateSecurityGroupCommand, CreateVpcCommand, CreateVpnGatewayCommand, DeleteKeyPairCommand,
  DeleteSecurityGroupCommand, DeleteVpcCommand, DescribeAddressesCommand, DescribeAvailabilityZonesCommand,
  DescribeInstanceTypesCommand, DescribeInstancesCommand, DescribeKeyPairsCommand, DescribeRegionsCommand,
  DescribeSecurityGroupRulesCommand, DescribeSecurityGroupsCommand, DescribeSpotInstanceRequestsCommand,
  DescribeVolumesCommand, DescribeVpcsCommand, ImportKeyPairCommand, ReleaseAddressCommand,
  RevokeSecurityGroupIngressCommand, RunInstancesCommand, TerminateInstancesCommand,
  paginateDescribeInstanceTypes, paginateDescribeInstances, paginateDescribeSecurityGroups,
  paginateDescribeVolumes, waitUntilInstanceTerminated, waitUntilVpcAvailable,
} from "@aws-sdk/client-ec2";
import { GetCallerIdentityCommand } from "@aws-sdk/client-sts";

import { ec2, filter, image, named, patience, refusal, sts } from "./clients.mjs";

const client = ec2();

test("STS says who asks", async () => {
  const who = await sts().send(new GetCallerIdentityCommand({}));
  assert.match(who.Account, /^[0-9]{12}$/);
  assert.ok(who.Arn.includes(who.Account));
  assert.match(who.$metadata.requestId, /^[0-9a-f-]{36}$/);
  assert.equal(who.$metadata.httpStatusCode, 200);
});

test("regions, zones and types", async () => {
  const { Regions } = await client.send(new DescribeRegionsCommand({}));
  assert.ok(Regions.some((each) => each.RegionName === process.env.AWS_REGION));
  const { AvailabilityZones } = await client.send(new DescribeAvailabilityZonesCommand({}));
  assert.ok(AvailabilityZones.every((each) => each.State === "available"));
  const types = [];
  for await (const page of paginateDescribeInstanceTypes({ client, pageSize: 5 }, {})) types.push(...page.InstanceTypes);
  const { InstanceTypes } = await client.send(new DescribeInstanceTypesCommand({}));
  assert.deepEqual(types.map((each) => each.InstanceType), InstanceTypes.map((each) => each.InstanceType));
  assert.equal(typeof types[0].MemoryInfo.SizeInMiB, "number");
});

test("keys are made, brought and forgotten", async () => {
  const made = await client.send(new CreateKeyPairCommand({ KeyName: "made", KeyType: "rsa" }));
  assert.match(made.KeyMaterial, /^-----BEGIN RSA PRIVATE KEY-----\n/);
  const line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0FvsLpJ0mPMAlxYJ8o1lG1fSxTJJ9xjZVYZFmYEJ1N brought";
  await client.send(new ImportKeyPairCommand({ KeyName: "brought", PublicKeyMaterial: Buffer.from(line) }));
  const { KeyPairs } = await client.send(new DescribeKeyPairsCommand({ IncludePublicKey: true }));
  assert.deepEqual(KeyPairs.map((each) => each.KeyName).sort(), ["brought", "made"]);
  assert.ok(KeyPairs.every((each) => each.CreateTime instanceof Date));
  assert.equal((await refusal(client, new CreateKeyPairCommand({ KeyName: "made" }))).name, "InvalidKeyPair.Duplicate");
  for (const KeyName of ["made", "brought", "never there"]) await client.send(new DeleteKeyPairCommand({ KeyName }));
});

test("a VPC with a group, whose rules are told one by one", async () => {
  const { Vpc } = await client.send(new CreateVpcCommand({ CidrBlock: "10.9.0.0/16", TagSpecifications: [named("vpc", "js")] }));
  await waitUntilVpcAvailable({ client, ...patience }, { VpcIds: [Vpc.VpcId] });
  const { GroupId } = await client.send(
    new CreateSecurityGroupCommand({ GroupName: "js", Description: "of JavaScript", VpcId: Vpc.VpcId }),
  );
  const { SecurityGroupRules } = await client.send(
    new AuthorizeSecurityGroupIngressCommand({
      GroupId,
      IpPermissions: [
        { IpProtocol: "tcp", FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: "192.0.2.0/24", Description: "office" }] },
        { IpProtocol: "-1", UserIdGroupPairs: [{ GroupId }] },
      ],
    }),
  );
  assert.equal(SecurityGroupRules.length, 2);
  const groups = [];
  const filters = { Filters: [filter("vpc-id", Vpc.VpcId)] };
  for await (const page of paginateDescribeSecurityGroups({ client, pageSize: 5 }, filters)) groups.push(...page.SecurityGroups);
  assert.deepEqual(groups.map((each) => each.GroupName).sort(), ["default", "js"]);
  const ssh = groups.find((each) => each.GroupName === "js").IpPermissions.find((each) => each.FromPort === 22);
  assert.deepEqual(ssh.IpRanges, [{ CidrIp: "192.0.2.0/24", Description: "office" }]);
  const rules = await client.send(new DescribeSecurityGroupRulesCommand({ Filters: [filter("group-id", GroupId)] }));
  assert.equal(rules.SecurityGroupRules.filter((each) => !each.IsEgress).length, 2);
  const revoked = await client.send(
    new RevokeSecurityGroupIngressCommand({ GroupId, SecurityGroupRuleIds: SecurityGroupRules.map((each) => each.SecurityGroupRuleId) }),
  );
  assert.equal(revoked.Return, true);
  const used = await refusal(client, new DeleteVpcCommand({ VpcId: Vpc.VpcId }));
  assert.equal(used.name, "DependencyViolation");
  await client.send(new DeleteSecurityGroupCommand({ GroupId }));
  await client.send(new DeleteVpcCommand({ VpcId: Vpc.VpcId }));
  const { Vpcs } = await client.send(new DescribeVpcsCommand(filters));
  assert.deepEqual(Vpcs, []);
});

test("an address is held and given back", async () => {
  const held = await client.send(new AllocateAddressCommand({ Domain: "vpc", TagSpecifications: [named("elastic-ip", "js")] }));
  const { Addresses } = await client.send(new DescribeAddressesCommand({ Filters: [filter("tag:Name", "js")] }));
  assert.equal(Addresses[0].PublicIp, held.PublicIp);
  await client.send(new ReleaseAddressCommand({ AllocationId: held.AllocationId }));
  const gone = await refusal(client, new DescribeAddressesCommand({ AllocationIds: [held.AllocationId] }));
  assert.equal(gone.name, "InvalidAllocationID.NotFound");
});

test("what nobody has is an empty list", async () => {
  const { SpotInstanceRequests } = await client.send(new DescribeSpotInstanceRequestsCommand({}));
  assert.deepEqual(SpotInstanceRequests, []);
  const { Reservations } = await client.send(new DescribeInstancesCommand({ Filters: [filter("tag:Name", "nobody")] }));
  assert.deepEqual(Reservations, []);
});

test("pages come one after the other, and end", async () => {
  const launched = [];
  for (let number = 0; number < 7; number += 1) {
    const { Instances } = await client.send(
      new RunInstancesCommand({ ImageId: image, InstanceType: "t2.nano", MinCount: 1, MaxCount: 1 }),
    );
    launched.push(Instances[0].InstanceId);
  }
  const pages = [];
  for await (const page of paginateDescribeInstances({ client, pageSize: 5 }, {})) pages.push(page.Reservations);
  assert.deepEqual(pages.map((page) => page.length), [5, 2]);
  const found = pages.flat().map((each) => each.Instances[0].InstanceId);
  assert.deepEqual(new Set(found), new Set(launched));
  const volumes = [];
  for await (const page of paginateDescribeVolumes({ client, pageSize: 5 }, {})) volumes.push(page.Volumes.length);
  assert.deepEqual(volumes, [5, 2]);
  const bad = await refusal(client, new DescribeInstancesCommand({ MaxResults: 5, NextToken: "nonsense" }));
  assert.equal(bad.name, "InvalidNextToken");
  const { TerminatingInstances } = await client.send(new TerminateInstancesCommand({ InstanceIds: launched }));
  assert.deepEqual(new Set(TerminatingInstances.map((each) => each.InstanceId)), new Set(launched));
  const { state } = await waitUntilInstanceTerminated({ client, ...patience }, { InstanceIds: launched });
  assert.equal(state, "SUCCESS");
});

test("a refusal is an error whose name is EC2's code", async () => {
  const refused = [
    [new DescribeInstancesCommand({ InstanceIds: ["i-0123456789abcdef0"] }), "InvalidInstanceID.NotFound"],
    [new DescribeInstancesCommand({ InstanceIds: ["nonsense"] }), "InvalidInstanceID.Malformed"],
    [new DescribeInstancesCommand({ Filters: [filter("colour", "red")] }), "InvalidParameterValue"],
    [new DescribeVolumesCommand({ VolumeIds: ["vol-0123456789abcdef0"] }), "InvalidVolume.NotFound"],
    [new DescribeSecurityGroupsCommand({ GroupIds: ["sg-0123456789abcdef0"] }), "InvalidGroup.NotFound"],
    [new RunInstancesCommand({ ImageId: "ami-0123456789abcdef0", MinCount: 1, MaxCount: 1 }), "InvalidAMIID.NotFound"],
    [new RunInstancesCommand({ ImageId: image, MinCount: 2, MaxCount: 1 }), "InvalidParameterCombination"],
    [new CreateVpnGatewayCommand({ Type: "ipsec.1" }), "UnsupportedOperation"],
  ];
  for (const [command, code] of refused) {
    const error = await refusal(client, command);
    assert.equal(error.name, code, error.message);
    assert.equal(error.Code ?? error.name, code);
    assert.equal(error.$fault, "client");
    assert.equal(error.$metadata.httpStatusCode, 400);
    assert.equal(error.$metadata.attempts, 1);
    assert.ok(error.message.length > 10, error.message);
  }
});

test("a dry run does nothing", async () => {
  const command = new RunInstancesCommand({ ImageId: image, InstanceType: "t2.nano", MinCount: 1, MaxCount: 1, DryRun: true });
  const error = await refusal(client, command);
  assert.equal(error.name, "DryRunOperation");
  assert.equal(error.$metadata.httpStatusCode, 412);
  const { Reservations } = await client.send(new DescribeInstancesCommand({ Filters: [filter("instance-state-name", "pending")] }));
  assert.deepEqual(Reservations, []);
});

test("wrong keys are nobody's", async () => {
  const id = process.env.AWS_ACCESS_KEY_ID;
  const wrong = ec2({ credentials: { accessKeyId: id, secretAccessKey: "wrong" } });
  const error = await refusal(wrong, new DescribeRegionsCommand({}));
  assert.equal(error.name, "AuthFailure");
  assert.equal(error.$metadata.httpStatusCode, 401);
  const unknown = ec2({ credentials: { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wrong" } });
  assert.equal((await refusal(unknown, new DescribeRegionsCommand({}))).name, "AuthFailure");
});
