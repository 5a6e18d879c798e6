"""Every attribute that the standard calls mutable, over OCCI: set, changed, shown, gone; and its effect."""

import ipaddress

import msgspec
import pytest

from backend.commands import AttachVolume, CreateVolume, DetachVolume, ImportKeyPair, Launch, SetNotes
from backend.engine import EngineSettings
from backend.engine.nics import mac_of
from backend.engine.settings import NetworkSettings
from backend.errors import BackendError, Code
from backend.network_commands import AllocateAddress, AssociateAddress, DisassociateAddress, ModifyNic
from backend.network_model import Nic
from occi import names
from tests.support.occi_face import COMPUTE, INFRA, STORAGE, STORAGELINK, Client, action, attribute
from tests.support.simulation import Cloud

NETWORK = f'Category: network; scheme="{INFRA}"; class="kind"'
INTERFACE = f'Category: networkinterface; scheme="{INFRA}"; class="kind"'
GROUP = f'Category: securitygroup; scheme="{INFRA}"; class="kind"'
GROUPLINK = f'Category: securitygrouplink; scheme="{INFRA}"; class="kind"'
RESERVATION = f'Category: ipreservation; scheme="{INFRA}"; class="kind"'
TITLE, SPEED, SHARE = "occi.core.title", "occi.compute.speed", "occi.compute.share"
DEVICE, MOUNT = "occi.storagelink.deviceid", "occi.storagelink.mountpoint"
PLUG = "occi.networkinterface"
MEDIA = ["text/plain", "text/occi", "application/occi+json"]


@pytest.fixture
def cloud():
    return Cloud(settings=EngineSettings(network=NetworkSettings(pools={"outside": ("203.0.113.0/28",)})))


def machine(ann, *lines):
    """The path of a machine that runs."""
    path = ann.make(*lines)
    ann.cloud.quiesce(3)
    assert ann.attributes(path)["occi.compute.state"] == "active"
    return path


def do(cloud, command):
    """What EC2 would do."""
    return cloud.engine.execute(cloud.caller, command)


def off(ann, path):
    """Switch a machine off."""
    line = attribute("method", "poweroff")
    assert ann("POST", path, action("stop"), line, query="action=stop").status_code == 200
    ann.cloud.quiesce(3)
    assert ann.attributes(path)["occi.compute.state"] == "inactive"


def on(ann, path):
    assert ann("POST", path, action("start"), query="action=start").status_code == 200
    ann.cloud.quiesce(3)
    assert ann.attributes(path)["occi.compute.state"] == "active"


def disk(ann):
    path = ann.make(attribute("occi.storage.size", 1), kind=STORAGE)
    ann.cloud.settle()
    return path


def ends(source, target):
    return attribute("occi.core.source", source), attribute("occi.core.target", target)


def connect(ann, kind, source, target, *lines):
    path = ann.make(*ends(source, target), *lines, kind=kind)
    ann.cloud.settle()
    return path


def said(ann, path):
    """What an entity says of itself, whichever rendering tells it."""
    plain = ann("GET", path).text
    headers = ann("GET", path, headers={"Accept": "text/occi"}).headers["x-occi-attribute"]
    shown = ann.json(path)
    title = {TITLE: shown["title"]} if "title" in shown else {}
    return plain, headers, shown["attributes"] | title


def shows(ann, path, name, value):
    """Whether all renderings show an attribute with this value, or (None) do not show it."""
    plain, headers, shown = said(ann, path)
    if value is None:
        return name not in plain and name not in headers and name not in shown
    text = f'{name}="{value}"' if isinstance(value, str) else f"{name}={value}"
    return text in plain and text in headers and shown.get(name) == value


def version(ann, path):
    return ann.cloud.engine.instance(ann.caller, names.id_at(path)).version


# Machines -----------------------------------------------------------------------------------------------


def weight(ann, path):
    """What the host weighs a machine's processor time by."""
    host = ann.cloud.host()
    return host.shares[names.id_at(path)]


def test_a_share_of_processor_time_reaches_the_host(ann):
    path = machine(ann, attribute(SHARE, 250))
    assert shows(ann, path, SHARE, 250)
    assert weight(ann, path) == 250
    assert ann("POST", path, attribute(SHARE, 50)).status_code == 200
    ann.cloud.settle()
    assert shows(ann, path, SHARE, 50)
    assert weight(ann, path) == 50
    off(ann, path)
    assert ann("POST", path, attribute(SHARE, 400)).status_code == 200
    ann.cloud.settle()
    assert weight(ann, path) == 50  # nothing runs that could be weighed
    on(ann, path)
    assert weight(ann, path) == 400
    assert ann("PUT", path, COMPUTE).status_code == 200  # OCCI-HTTP-032: what is missing is deleted
    ann.cloud.settle()
    assert shows(ann, path, SHARE, None)
    assert weight(ann, path) == 0


def test_a_share_that_a_silent_host_is_not_told_counts_from_the_next_start(ann):
    path = machine(ann)
    host = ann.cloud.host()
    host.silent = True
    assert ann("POST", path, attribute(SHARE, 300)).status_code == 200
    ann.cloud.settle()
    assert (weight(ann, path), ann.attributes(path)[SHARE]) == (0, 300)
    host.silent = False
    off(ann, path)
    on(ann, path)
    assert weight(ann, path) == 300


@pytest.mark.parametrize("share", [0, -1, 10_001, 1.5, "much"])
def test_impossible_shares(ann, share):
    assert ann("POST", "/compute/", COMPUTE, attribute(SHARE, share)).status_code == 400
    path = ann.make()
    assert ann("POST", path, attribute(SHARE, share)).status_code == 400
    assert shows(ann, path, SHARE, None)


def test_the_clock_of_a_processor_is_recorded(ann):
    path = ann.make(attribute(SPEED, 2.4))
    assert shows(ann, path, SPEED, 2.4)
    before = version(ann, path)
    assert ann("POST", path, attribute(SPEED, 3)).status_code == 200
    assert shows(ann, path, SPEED, 3.0)
    assert version(ann, path) > before  # what is cached under the version is another now
    assert ann("POST", path, attribute(SPEED, 0)).status_code == 400
    assert ann.locations("/compute/", headers={"Content-Type": "text/occi",
                         "X-OCCI-Attribute": f"{SPEED}=3.0"}) == [path]  # fmt: skip
    assert ann("PUT", path, COMPUTE).status_code == 200
    assert shows(ann, path, SPEED, None)


def test_an_architecture_is_asked_for_and_refused(ann, cloud):
    path = ann.make(attribute("occi.compute.architecture", "x64"))
    assert shows(ann, path, "occi.compute.architecture", "x64")
    wanted = attribute("occi.compute.architecture", "x86")
    template = f'Category: {cloud.image.id}; scheme="http://cloud.example.org/occi/infrastructure/os_tpl#"; class="mixin"'
    for lines in ((wanted,), (wanted, template)):
        refused = ann("POST", "/compute/", COMPUTE, *lines)
        assert refused.status_code == 400
        assert "x86" in refused.text or "i386" in refused.text
    assert ann("POST", "/compute/", COMPUTE, attribute("occi.compute.architecture", "arm")).status_code == 400
    assert ann.locations("/compute/") == [path]
    assert ann("POST", path, wanted).status_code == 403


def test_an_image_for_another_architecture_is_no_default(ann, cloud):
    with cloud.store.begin() as tx:
        tx.images.update(tx.images.get(cloud.image.id), architecture="i686")
        for host in tx.hosts.all():
            tx.hosts.update(host, architecture="i686")
    refused = ann("POST", "/compute/", COMPUTE, attribute("occi.compute.architecture", "x64"))
    assert (refused.status_code, "x86_64" in refused.text) == (400, True)
    path = ann.make(attribute("occi.compute.architecture", "x86"))
    assert shows(ann, path, "occi.compute.architecture", "x86")


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJGmJ9x0L4bW1PCOrz9n2dCCJ0q0oCqk7c8mGrv9Wv0X ann@home"
OTHER_KEY = KEY.replace("ann@home", "ann@work")
SSH_KEY = 'Category: ssh_key; scheme="http://schemas.ogf.org/occi/infrastructure/credentials#"; class="mixin"'
PUBLIC_KEY = (
    'Category: public_key; scheme="http://schemas.openstack.org/instance/credentials#"; class="mixin"'
)
KEY_1_2, KEY_OPENSTACK = "occi.credentials.ssh.publickey", "org.openstack.credentials.publickey"


def test_a_key_is_given_later_and_replaced(ann, cloud):
    path = machine(ann)
    assert ann("POST", path, SSH_KEY).status_code == 400
    late = ann("POST", path, PUBLIC_KEY, attribute(f"{KEY_OPENSTACK}.data", KEY))
    assert late.status_code == 400
    assert ann("POST", path, SSH_KEY, attribute(KEY_1_2, KEY)).status_code == 200
    assert shows(ann, path, KEY_1_2, KEY)
    assert ann("POST", path, attribute(KEY_1_2, "no key")).status_code == 400
    assert ann("POST", path, attribute(KEY_1_2, OTHER_KEY)).status_code == 200
    assert shows(ann, path, KEY_1_2, OTHER_KEY)
    instance = cloud.engine.instance(cloud.caller, names.id_at(path))
    assert instance.public_keys == (OTHER_KEY,)  # what seeds and the metadata service tell
    assert ann("GET", "/mixin/ssh_key/").text.endswith(path)


def test_another_key_is_no_longer_the_key_pairs(ann, cloud):
    pair = ImportKeyPair(name="pair", key_type="ed25519", fingerprint="f", public_key=KEY)
    do(cloud, pair)
    launched = do(cloud, Launch(key_name="pair")).instances[0]
    path = names.path_of(launched.id)
    assert ann("POST", path, attribute(KEY_1_2, KEY)).status_code == 200
    assert cloud.engine.instance(cloud.caller, launched.id).key_name == "pair"
    assert ann("POST", path, attribute(KEY_1_2, OTHER_KEY)).status_code == 200
    assert cloud.engine.instance(cloud.caller, launched.id).key_name == ""


def test_the_name_of_a_key_is_recorded(ann):
    lines = PUBLIC_KEY, attribute(f"{KEY_OPENSTACK}.data", KEY), attribute(f"{KEY_OPENSTACK}.name", "mine")
    path = ann.make(*lines)
    assert shows(ann, path, f"{KEY_OPENSTACK}.name", "mine")
    assert ann("POST", path, attribute(f"{KEY_OPENSTACK}.name", "ours")).status_code == 200
    assert shows(ann, path, f"{KEY_OPENSTACK}.name", "ours")
    assert ann("POST", path, attribute(f"{KEY_OPENSTACK}.data", OTHER_KEY)).status_code == 200
    assert shows(ann, path, f"{KEY_OPENSTACK}.data", OTHER_KEY)


# Links to storage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("accept", MEDIA)
def test_title_and_mount_point_of_a_link_are_told_within_its_machine(ann, accept):
    source, data = machine(ann), disk(ann)
    link = connect(
        ann, STORAGELINK, source, data, attribute(TITLE, r"a \"b\", c; d"), attribute(MOUNT, "/mnt")
    )
    assert shows(ann, link, MOUNT, "/mnt")
    assert ann.json(link)["title"] == 'a "b", c; d'
    shown = ann("GET", source, headers={"Accept": accept})
    told = shown.headers["link"] if accept == "text/occi" else shown.text
    assert "/mnt" in told
    assert "c; d" in told


def test_notes_of_a_link_are_changed_and_removed(ann):
    source, data = machine(ann), disk(ann)
    link = connect(ann, STORAGELINK, source, data)
    assert shows(ann, link, TITLE, None)
    before = version(ann, source)
    assert ann("POST", link, attribute(TITLE, "one"), attribute(MOUNT, "/one")).status_code == 200
    assert version(ann, source) > before
    assert ann("POST", link, attribute(MOUNT, "/two")).status_code == 200
    assert shows(ann, link, TITLE, "one")
    assert shows(ann, link, MOUNT, "/two")
    for line in (attribute(TITLE, "x" * 256), attribute(MOUNT, "/" + "x" * 1024)):
        assert ann("POST", link, line).status_code == 400
    assert ann("PUT", link, STORAGELINK, attribute(TITLE, "one")).status_code == 200
    assert shows(ann, link, TITLE, "one")
    assert shows(ann, link, MOUNT, None)
    assert ann("PUT", link, STORAGELINK).status_code == 200
    assert shows(ann, link, TITLE, None)


def test_inline_links_have_titles_and_mount_points(ann):
    data, later = disk(ann), disk(ann)

    def inline(target, title):
        return (
            f'Link: <{target}>; rel="{INFRA}storage"; category="{INFRA}storagelink"; '
            f'{TITLE}="{title}"; {MOUNT}="/{title}"; {DEVICE}="/dev/vd{title}"'
        )

    source = machine(ann, inline(data, "f"))
    assert ann("POST", source, inline(later, "g")).status_code == 200
    ann.cloud.settle()
    found = {
        link["target"]["location"]: link for link in ann.json(source)["links"] if MOUNT in link["attributes"]
    }
    assert {target: link["attributes"][MOUNT] for target, link in found.items()} == {data: "/f", later: "/g"}
    assert {link["title"] for link in found.values()} == {"f", "g"}


def test_what_was_said_of_an_attachment_ends_with_it(ann):
    """Whichever face ends it, and also with the machine: the next attachment knows nothing of it."""
    cloud, source, data = ann.cloud, machine(ann), disk(ann)
    link = connect(ann, STORAGELINK, source, data, attribute(TITLE, "old"), attribute(MOUNT, "/old"))
    cloud.engine.execute(cloud.caller, DetachVolume(volume_id=names.id_at(data)))
    cloud.settle()
    assert ann("GET", link).status_code == 404
    assert connect(ann, STORAGELINK, source, data) == link
    assert shows(ann, link, MOUNT, None)
    assert ann("POST", link, attribute(TITLE, "older")).status_code == 200
    assert ann("DELETE", source).status_code == 200
    cloud.quiesce(3)
    again = connect(ann, STORAGELINK, machine(ann), data)
    assert again == link
    assert shows(ann, link, TITLE, None)
    with cloud.store.read() as tx:
        assert tx.notes.of([names.id_at(link)]) == {}


def test_a_device_changes_while_the_machine_is_off(ann, cloud):
    source, data, other = machine(ann), disk(ann), disk(ann)
    link = connect(ann, STORAGELINK, source, data, attribute(DEVICE, "/dev/vdf"))
    connect(ann, STORAGELINK, source, other, attribute(DEVICE, "/dev/vdg"))
    refused = ann("POST", link, attribute(DEVICE, "/dev/vdh"))
    assert (refused.status_code, "switched off" in refused.text) == (409, True)
    assert ann("POST", link, attribute(DEVICE, "vdf")).status_code == 200  # it is that
    off(ann, source)
    for wanted, status in (("/dev/vdg", 409), ("/dev/vda", 409), ("the fast one", 400), ("/dev/vdh", 200)):
        assert ann("POST", link, attribute(DEVICE, wanted)).status_code == status
    assert shows(ann, link, DEVICE, "/dev/vdh")
    volume = cloud.engine.volume(cloud.caller, names.id_at(data))
    assert (volume.device, volume.target) == ("/dev/vdh", "vdh")  # as EC2 shows it
    on(ann, source)
    host = cloud.host()
    assert host.plugged[names.id_at(source)]["vdh"].name == volume.id
    [boot] = [each for each in ann.json(source)["links"] if each["attributes"].get(DEVICE) == "/dev/vda"]
    off(ann, source)
    path = f"/storagelink/{boot['id']}"
    assert ann("POST", path, attribute(DEVICE, "/dev/vdk")).status_code == 409


# Links to networks --------------------------------------------------------------------------------------


def primary(ann, source):
    """The path of a machine's first interface."""
    [nic_id] = [
        nic.id for nic in ann.cloud.engine.networks.nics_of([names.id_at(source)])[names.id_at(source)]
    ]
    return names.path_of(nic_id)


def test_an_interface_changes_its_addresses_while_the_machine_is_off(ann, cloud):
    source = machine(ann)
    link = primary(ann, source)
    before = ann.attributes(link)
    nic = cloud.engine.networks.one(cloud.caller, Nic, names.id_at(link))
    fresh = str(ipaddress.IPv4Address(before[f"{PLUG}.address"]) + 7)
    for line in (attribute(f"{PLUG}.address", fresh), attribute(f"{PLUG}.mac", "52:55:00:00:00:01")):
        refused = ann("POST", link, line)
        assert (refused.status_code, "switched off" in refused.text) == (409, True)
    address = do(cloud, AllocateAddress())
    do(cloud, AssociateAddress(allocation_id=address.id, nic_id=nic.id))
    off(ann, source)
    assert ann("POST", link, attribute(f"{PLUG}.address", fresh)).status_code == 200
    shown = ann.attributes(link)
    assert shown[f"{PLUG}.address"] == fresh
    assert shown[f"{PLUG}.mac"] == mac_of(fresh)  # or whoever gets the old address could not have its MAC
    assert (before[f"{PLUG}.allocation"], shown[f"{PLUG}.allocation"]) == ("dynamic", "static")
    with cloud.store.read() as tx:
        assert tx.leases.of_nic(nic.id) == (fresh,)
        instance = tx.instances.get(nic.instance_id)
        assert (instance.address, instance.mac) == (fresh, mac_of(fresh))  # as EC2 shows it
        assert tx.public_addresses.get(address.id).private_ip == fresh
    assert ann("POST", link, attribute(f"{PLUG}.mac", "52-55-00-00-00-01")).status_code == 200
    assert ann.attributes(link)[f"{PLUG}.mac"] == "52:55:00:00:00:01"
    on(ann, source)
    host = cloud.host()
    assert set(host.interfaces[instance.id]) == {"52:55:00:00:00:01"}
    assert ann("POST", link, attribute(f"{PLUG}.mac", "52:55:00:00:00:01")).status_code == 200  # it is that


def test_addresses_that_an_interface_cannot_have(ann):
    source, other = machine(ann), machine(ann)
    link, taken = primary(ann, source), ann.attributes(primary(ann, other))
    off(ann, source)
    before = ann.attributes(link)
    for line, status in (
        (attribute(f"{PLUG}.address", taken[f"{PLUG}.address"]), 409),
        (attribute(f"{PLUG}.address", "10.9.9.9"), 400),
        (attribute(f"{PLUG}.address", "nowhere"), 400),
        (attribute(f"{PLUG}.mac", taken[f"{PLUG}.mac"]), 409),
        (attribute(f"{PLUG}.mac", "01:00:5e:00:00:01"), 400),
        (attribute(f"{PLUG}.mac", "mac"), 400),
        (attribute(f"{PLUG}.gateway", "172.31.0.9"), 501),
        (attribute(f"{PLUG}.allocation", "guessed"), 400),
        (attribute(f"{PLUG}.interface", "eth7"), 403),
        (attribute("occi.core.target.kind", f"{INFRA}storage"), 501),
    ):
        assert ann("POST", link, line).status_code == status, line
    assert ann.attributes(link) == before


def test_titles_and_allocation_of_interfaces(ann, cloud):
    inner = ann.make(kind=NETWORK)
    source = machine(
        ann,
        f'Link: <{inner}>; rel="{INFRA}network"; category="{INFRA}networkinterface"; {TITLE}="front"; '
        f'{PLUG}.allocation="static"',
    )
    link = primary(ann, source)
    assert shows(ann, link, TITLE, "front")
    assert shows(ann, link, f"{PLUG}.allocation", "static")
    assert cloud.engine.tags_of([names.id_at(link)]) == {names.id_at(link): {"Name": "front"}}  # EC2's word
    said_again = attribute(TITLE, "back"), attribute(f"{PLUG}.allocation", "dynamic")
    assert ann("POST", link, *said_again).status_code == 200
    assert shows(ann, link, TITLE, "back")
    assert shows(ann, link, f"{PLUG}.allocation", "dynamic")
    assert ann("PUT", link, INTERFACE).status_code == 200
    assert shows(ann, link, TITLE, None)
    second = connect(ann, INTERFACE, source, ann.make(kind=NETWORK), attribute(TITLE, "second"))
    assert shows(ann, second, TITLE, "second")
    gateway = attribute(f"{PLUG}.gateway", "10.0.0.77")
    refused = ann("POST", "/", INTERFACE, *ends(source, ann.make(kind=NETWORK)), gateway)
    assert refused.status_code == 400


def test_titles_of_public_addresses_end_with_the_link(ann, cloud):
    source, reserved = machine(ann), ann.make(kind=RESERVATION)
    link = connect(ann, INTERFACE, source, reserved, attribute(TITLE, "front door"))
    assert shows(ann, link, TITLE, "front door")
    before = version(ann, source)
    assert ann("POST", link, attribute(TITLE, "back door")).status_code == 200
    assert shows(ann, link, TITLE, "back door")
    assert version(ann, source) > before
    assert ann("POST", link, attribute(f"{PLUG}.mac", "52:55:00:00:00:01")).status_code == 501
    association = names.id_at(link)
    do(cloud, DisassociateAddress(association_id=association))
    with cloud.store.read() as tx:
        assert tx.notes.of([association]) == {}


def test_titles_of_memberships_end_with_them(ann, cloud):
    group = ann.make(attribute(TITLE, "web"), kind=GROUP)
    source = machine(
        ann,
        f'Link: <{group}>; rel="{INFRA}securitygroup"; category="{INFRA}securitygrouplink"; {TITLE}="first"',
    )
    [inline] = [each for each in ann.json(source)["links"] if each["target"]["location"] == group]
    link = f"/securitygrouplink/{inline['id']}"
    assert shows(ann, link, TITLE, "first")
    assert ann("POST", link, attribute(TITLE, "second")).status_code == 200
    assert shows(ann, link, TITLE, "second")
    other = ann.make(kind=GROUP)
    more = connect(ann, GROUPLINK, source, other, attribute(TITLE, "more"))
    assert shows(ann, more, TITLE, "more")
    nic_id = names.id_at(primary(ann, source))
    do(cloud, ModifyNic(nic_id=nic_id, groups=(names.id_at(other),)))  # EC2 takes it out of the first
    assert ann("GET", link).status_code == 404
    do(cloud, ModifyNic(nic_id=nic_id, join=(names.id_at(group),)))
    assert shows(ann, link, TITLE, None)
    assert shows(ann, more, TITLE, "more")
    assert ann("PUT", more, GROUPLINK).status_code == 200
    assert shows(ann, more, TITLE, None)


# Networks -----------------------------------------------------------------------------------------------


def test_what_is_recorded_of_reservations(ann):
    """By their parent they are networks (OCCI-CORE-011)."""
    said_of = attribute("occi.network.vlan", 7), attribute("occi.network.label", "green")
    path = ann.make(*said_of, kind=RESERVATION)
    assert shows(ann, path, "occi.network.vlan", 7)
    assert shows(ann, path, "occi.network.label", "green")
    assert ann("POST", path, attribute("occi.network.vlan", 4096)).status_code == 400
    assert ann("POST", path, attribute("occi.network.vlan", 0)).status_code == 200
    assert shows(ann, path, "occi.network.vlan", 0)
    assert ann("PUT", path, RESERVATION).status_code == 200
    assert shows(ann, path, "occi.network.vlan", None)
    assert shows(ann, path, "occi.network.label", None)


def test_what_is_recorded_of_networks(ann):
    path = ann.make(
        attribute("occi.network.vlan", 4095), attribute("occi.network.allocation", "static"), kind=NETWORK
    )
    assert shows(ann, path, "occi.network.vlan", 4095)
    assert shows(ann, path, "occi.network.allocation", "static")
    assert ann("POST", path, attribute("occi.network.vlan", 0)).status_code == 200
    assert shows(ann, path, "occi.network.vlan", 0)
    assert ann("POST", path, attribute("occi.network.vlan", 4096)).status_code == 400
    assert ann("POST", path, attribute("occi.network.allocation", "dynamic")).status_code == 200
    assert shows(ann, path, "occi.network.allocation", "dynamic")
    for _ in range(2):
        assert ann("PUT", path, NETWORK).status_code == 200
        assert shows(ann, path, "occi.network.vlan", None)


# Who may say what ---------------------------------------------------------------------------------------


_UNKNOWN = {Code.RESOURCE_NOT_FOUND, Code.INSTANCE_NOT_FOUND, Code.VOLUME_NOT_FOUND}


def test_notes_are_for_what_is_ones_own(ann, cloud):
    source, data = machine(ann), disk(ann)
    link = connect(ann, STORAGELINK, source, data, attribute(TITLE, "mine"))
    door = connect(ann, INTERFACE, source, ann.make(kind=RESERVATION), attribute(TITLE, "mine"))
    [group] = [each for each in ann.json(source)["links"] if each["kind"] == INFRA + "securitygrouplink"]
    member = names.id_at(f"/securitygrouplink/{group['id']}")
    instance_id, free = names.id_at(source), disk(ann)
    detached = names.link_id(names.id_at(free))
    strange = [(names.id_at(each), "") for each in (source, data, link, door, primary(ann, source))]
    for caller, wanted in (
        (cloud.other, [*strange, (member, instance_id), (member, "")]),
        (cloud.caller, [(detached, ""), ("sglink-0", instance_id), ("x-1", ""), ("", "")]),
    ):
        for named, owner in wanted:
            command = SetNotes(resource_id=named, notes=((TITLE, "theirs"),), instance_id=owner)
            with pytest.raises(BackendError) as refusal:
                cloud.engine.execute(caller, command)
            assert refusal.value.code in _UNKNOWN, named
    assert shows(ann, link, TITLE, "mine")
    assert shows(ann, door, TITLE, "mine")
    bob = Client(cloud, cloud.other)
    assert bob("POST", link, attribute(TITLE, "theirs")).status_code == 404


def test_an_attachment_of_ec2_is_noted_like_any_other(ann, cloud):
    source = machine(ann)
    volume = do(cloud, CreateVolume(size_gib=1))
    cloud.settle()
    do(cloud, AttachVolume(volume_id=volume.id, instance_id=names.id_at(source), device="/dev/sdf"))
    cloud.settle()
    link = names.path_of(names.link_id(volume.id))
    assert ann("POST", link, attribute(MOUNT, "/srv")).status_code == 200
    assert shows(ann, link, MOUNT, "/srv")
    assert shows(ann, link, DEVICE, "/dev/sdf")
    assert msgspec.structs.asdict(cloud.engine.volume(cloud.caller, volume.id))["device"] == "/dev/sdf"
