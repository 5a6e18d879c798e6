"""Settings: the file, the environment over it, the command line over both; wrong ones are told."""

from __future__ import annotations

import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import make_url

from backend.engine import Deadlines, EngineSettings
from gateway.commands.init import regions_of
from gateway.context import Refused
from gateway.settings import DeadlineSettings, NotConfigured, checked, listen_address, load, written


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in ("ISTHMUS_LISTEN", "ISTHMUS_DATABASE", "ISTHMUS_HOME"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def put(home, text):
    (home / "isthmus.toml").write_text(text)


def test_version_2_of_the_signature_is_off_until_the_operator_wants_it(home, monkeypatch):
    put(home, written("0.0.0.0:80", {"eu-1": ("eu-1a",)}, ""))
    assert load(home).ec2.version_2 is False
    with (home / "isthmus.toml").open("a") as file:
        file.write("\n[ec2]\nversion_2 = true\n")
    assert load(home).ec2.version_2 is True
    put(home, written("0.0.0.0:80", {"eu-1": ("eu-1a",)}, ""))
    monkeypatch.setenv("ISTHMUS_EC2__VERSION_2", "true")
    assert load(home).ec2.version_2 is True


def test_what_init_writes_is_read_again(home):
    regions = {"eu-1": ("eu-1a", "eu-1b"), "us-2": ("us-2a",)}
    put(home, written("0.0.0.0:80", regions, 'postgresql://u:p"w@db/x'))
    found = load(home)
    assert (found.listen, found.regions) == ("0.0.0.0:80", regions)
    assert found.database_url == 'postgresql+psycopg://u:p"w@db/x'
    assert found.shown()["database"] == "postgresql+psycopg://u:***@db/x"
    assert found.shown()["deadlines.boot"] == 120
    assert list(found.engine().zones) == ["eu-1", "us-2"]  # the first region is the default
    assert found.default_region == "eu-1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://u@h/db?password=p-w", "postgresql+psycopg://u@h/db?password=***"),
        ("postgresql://u:p-w%40%3A@h/db?sslpassword=p-w&sslmode=require",
         "postgresql+psycopg://u:***@h/db?sslmode=require&sslpassword=***"),
        ("postgresql:///db?host=/run/p&user=u", "postgresql+psycopg:///db?host=%2Frun%2Fp&user=u"),
    ],
)  # fmt: skip
def test_passwords_in_the_databases_url_are_not_shown(home, url, shown):
    assert checked(home, database=url).shown()["database"] == shown


@pytest.mark.parametrize("url", ["mysql://u:p-w@h/db", "p-w", "postgresql://u:p-w@h:x/db"])
def test_what_is_no_database_is_refused_and_not_repeated(home, url):
    with pytest.raises(NotConfigured, match="database") as refused:
        checked(home, database=url)
    assert "p-w" not in str(refused.value)


def test_the_database_lies_in_a_home_of_any_name(tmp_path):
    home = tmp_path / "a+b &c%20d#e:f?g"
    assert make_url(checked(home).database_url).database == str(home / "isthmus.db")


def test_command_line_over_environment_over_file(home, monkeypatch):
    put(home, 'listen = "h:1"\ndefault_flavor = "from-file"\n[deadlines]\nboot = 1\nsave = 2\n')
    assert load(home).listen == "h:1"
    monkeypatch.setenv("ISTHMUS_LISTEN", "h:2")
    monkeypatch.setenv("ISTHMUS_DEADLINES__BOOT", "7")
    found = load(home)
    assert (found.listen, found.default_flavor) == ("h:2", "from-file")
    assert (found.deadlines.boot, found.deadlines.save) == (7, 2)
    assert load(home, listen="h:3").listen == "h:3"


def test_the_environment_of_other_programs_of_ours_is_no_setting(home, monkeypatch):
    put(home, "")
    monkeypatch.setenv("ISTHMUS_ENDPOINT", "http://x")
    monkeypatch.setenv("ISTHMUS_IMAGE", "ami-1")
    assert load(home).database_url == f"sqlite:///{home}/isthmus.db"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lissten = 'x'", "lissten"),
        ("[web]\nworkers = 0", "web.workers"),
        ("[web]\nthread = 2", "web.thread"),
        ("listen = '8080'", "HOST:PORT"),
        ("listen = 'h:99999'", "HOST:PORT"),
        ("[regions]", "region"),
        ("[regions]\n'eu/1' = ['eu/1a']", "eu/1"),
        ("[regions]\neu = ['a']\nus = ['a']", "one region"),
        ("[regions]\neu = []", "zone"),
        ("[deadlines]\nboot = -1", "deadlines.boot"),
        ("not toml", "isthmus.toml"),
    ],
)
def test_wrong_settings_are_named(home, text, told):
    put(home, text)
    with pytest.raises(NotConfigured, match=told):
        load(home)


def test_without_a_file_the_way_out_is_told(home):
    with pytest.raises(NotConfigured, match="isthmus init"):
        load(home)


def test_defaults_are_the_engines_own(home):
    mine, theirs = checked(home).engine(), EngineSettings(refuse_when_full=True)  # what EC2's users expect
    assert msgspec.structs.replace(mine, network=theirs.network) == theirs
    assert mine.network.default_vpc == theirs.network.default_vpc
    assert mine.network.capabilities.name == "user"
    assert mine.network.pools == {"loopback": ("127.100.0.0/16",)}
    assert set(DeadlineSettings.model_fields) == set(Deadlines.__struct_fields__)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:8080", ("::1", 8080)),
        (":0", ("", 0)),
        ("host.example:65535", ("host.example", 65535)),
    ],
)
def test_listen_addresses(text, address):
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["", "80", "a:b", "::1:80", "h:-1", "h:65536", "h :80", "[::1]"])
def test_no_listen_addresses(text):
    with pytest.raises(ValueError, match="HOST:PORT"):
        listen_address(text)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{2}-[a-z]{1,8}-[1-9]", fullmatch=True), st.just(("x",)), min_size=1)
)
def test_regions_keep_their_order_in_the_file(regions):
    named = {region: (f"{region}a", f"{region}b") for region in regions}
    assert list(tomllib.loads(written("h:1", named, ""))["regions"].items()) == [
        (region, list(zones)) for region, zones in named.items()
    ]


# Zones of init ------------------------------------------------------------------------------------------


def test_zones_go_to_the_region_they_are_named_after():
    assert regions_of([], []) == {"us-east-1": ("us-east-1a",)}
    assert regions_of(["eu"], ["here"]) == {"eu": ("here",)}  # with one region there is no doubt
    assert regions_of(["eu", "eu-north"], ["eu-north-1", "eu-1"]) == {
        "eu": ("eu-1",),
        "eu-north": ("eu-north-1",),
    }
    with pytest.raises(Refused, match="mars"):
        regions_of(["eu", "us"], ["mars"])


# Where disk images come from ----------------------------------------------------------------------------


def test_without_settings_no_image_comes_from_outside_but_uploads(home):
    put(home, "")
    images = load(home).images
    assert (images.directories, images.urls, images.export_directory) == ((), (), None)
    assert images.uploads


def test_the_places_of_images(home, monkeypatch):
    put(
        home,
        '[images]\ndirectories = ["/srv/images"]\nurls = ["https://cloud-images.example/"]\n'
        'uploads = false\nexport_directory = "/srv/exports"\n',
    )
    found = load(home)
    assert [str(path) for path in found.images.directories] == ["/srv/images"]
    assert found.shown()["images.export_directory"] == "/srv/exports"
    monkeypatch.setenv("ISTHMUS_IMAGES__URLS", '["http://mirror.example:8080/a/"]')
    assert load(home).images.urls == ("http://mirror.example:8080/a/",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('directories = ["relative"]', "relative is no absolute path"),
        ('directories = ["/"]', "lie in one another"),
        ('directories = ["HOME/images"]', "lie in one another"),
        ('directories = ["HOME/.."]', "lie in one another"),
        ('export_directory = "exports"', "exports is no absolute path"),
        ('urls = ["https://example.org"]', "must end with a slash"),
        ('urls = ["https://example.org/a"]', "must end with a slash"),
        ('urls = ["ftp://example.org/"]', "is no http"),
        ('urls = ["https:///path/"]', "is no http"),
        ('urls = ["https://user@example.org/"]', "cannot stand"),
        ('urls = ["https://example.org/?a=/"]', "cannot stand"),
        ('urls = ["https://[::1/"]', "URL"),
        ("upload_bytes = 0", "greater than or equal to 1"),
        ("elsewhere = 1", "not permitted"),
    ],
)
def test_places_that_make_no_sense_are_told(home, text, said):
    put(home, "[images]\n" + text.replace("HOME", str(home)))
    with pytest.raises(NotConfigured, match="isthmus.toml") as refused:
        load(home)
    assert said in str(refused.value)


def test_a_link_into_the_home_is_seen_through(home, tmp_path_factory):
    link = tmp_path_factory.mktemp("outside") / "link"
    link.symlink_to(home)
    put(home, f'[images]\ndirectories = ["{link}"]\n')
    with pytest.raises(NotConfigured, match="lie in one another"):
        load(home)


# Networks -----------------------------------------------------------------------------------------------

OVN = '[network]\ndriver = "ovn"\nnorthbound = "tcp:192.0.2.1:6641"\n'


def test_without_settings_guests_are_on_user_networks_and_stay_inside(home):
    put(home, "")
    engine = load(home).engine().network
    assert (engine.capabilities.name, engine.infra, engine.foreign) == ("user", "", ())
    assert engine.pools == {"loopback": ("127.100.0.0/16",)}
    assert engine.capabilities.limits  # what it cannot enforce is said


def test_an_installation_of_ovn(home, monkeypatch):
    put(home, OVN + 'pools = { public = ["203.0.113.10-203.0.113.12", "192.0.2.64/30"] }\n')
    found = load(home)
    engine = found.engine().network
    assert (engine.capabilities.name, engine.infra) == ("ovn", "100.64.0.0/16")
    assert set(engine.foreign) == {
        "100.64.0.0/16",
        "100.65.0.0/16",
        "203.0.113.10/31",
        "203.0.113.12/32",
        "192.0.2.64/30",
    }
    assert engine.capabilities.needs_infra
    monkeypatch.setenv("ISTHMUS_NETWORK__MTU", "1500")
    assert load(home).network.mtu == 1500


def test_an_installation_of_ovn_without_public_addresses(home):
    put(home, OVN)
    assert load(home).engine().network.pools == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('driver = "bridges"', "network.driver"),
        ('driver = "ovn"', "must name OVN's northbound database"),
        ('driver = "ovn"\nnorthbound = "tcp:h:1"\nmetadata = "10.0.0.1:80"', "must lie in network.infra"),
        ('default_vpc = "10.0.0.0/8/8"', "network.default_vpc"),
        ('default_vpc = "10.0.0.1/16"', "network.default_vpc"),
        ('infra = "nowhere"', "network.infra"),
        ('metadata = "80"', "network.metadata"),
        ("mtu = 500", "network.mtu"),
        ('pools = { a = ["203.0.113.9-203.0.113.1"] }', "network.pools"),
        ('pools = { a = ["203.0.113.0/24"], b = ["203.0.113.7"] }', "network.pools"),
        ("bridges = 1", "network.bridges"),
    ],
)
def test_networks_that_make_no_sense_are_told(home, text, said):
    put(home, f"[network]\n{text}\n")
    with pytest.raises(NotConfigured, match="isthmus.toml") as refused:
        load(home)
    assert said in str(refused.value)
