"""OpenNebula's image templates are read as OpenNebula reads them, and nothing in them is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import BackendError, Code
from backend.images import FORMATS, ImageTemplate, parse_template


def test_an_image_of_an_operating_system():
    assert parse_template(
        """
        # OpenNebula's own first example
        NAME          = "Ubuntu Web Development"
        PATH          = /home/one_user/images/ubuntu_desktop.img
        PUBLIC        = YES   # for all
        DESCRIPTION   = "Ubuntu 10.04 desktop for Web Development students.
Contains the \\"pdf\\" lessons and exercises."
        """
    ) == ImageTemplate(
        name="Ubuntu Web Development",
        path="/home/one_user/images/ubuntu_desktop.img",
        public=True,
        description='Ubuntu 10.04 desktop for Web Development students.\nContains the "pdf" lessons and exercises.',
    )


def test_an_empty_data_block():
    assert parse_template(
        """NAME = "Experiment results"
TYPE          = DATABLOCK
# No PATH set, this image will start as a new empty disk
SIZE          = 20480
FSTYPE        = ext4
PUBLIC        = NO
DESCRIPTION   = "Storage for my Thesis experiments." """
    ) == ImageTemplate(
        name="Experiment results",
        type="DATABLOCK",
        size_mib=20480,
        filesystem="ext4",
        description="Storage for my Thesis experiments.",
    )


def test_all_attributes_in_any_case():
    assert parse_template(
        "name=a path=https://example.org/i.qcow2 Type=cdrom persistent=yes driver=QCOW2 format=qcow2\n"
        f'md5="{"AB" * 16}" DEV_PREFIX=vd Bus=virtio SIZE=10 SOURCE_IGNORED=\n'.replace("SOURCE_IGNORED=", "")
    ) == ImageTemplate(
        name="a",
        path="https://example.org/i.qcow2",
        type="CDROM",
        persistent=True,
        format="qcow2",
        digest=f"md5:{'ab' * 16}",
        ignored=("DEV_PREFIX", "BUS", "SIZE"),
    )


BASE = "NAME = a\nPATH = /a\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "NAME is missing"),
        ("PATH = /a", "NAME is missing"),
        ('NAME = ""\nPATH = /a', "NAME is missing"),
        ("NAME = a", "PATH is missing"),
        ("NAME = a\nTYPE = CDROM", "PATH is missing"),
        ("NAME = a\nTYPE = DATABLOCK", "SIZE is missing"),
        ("NAME = a\nTYPE = DATABLOCK\nSIZE = 0", "SIZE = 0"),
        ("NAME = a\nTYPE = DATABLOCK\nSIZE = -5", "SIZE = -5"),
        ("NAME = a\nTYPE = DATABLOCK\nSIZE = 1G", "SIZE = 1G"),
        ("NAME = a\nTYPE = DATABLOCK\nSIZE = 99999999999", "SIZE = 99999999999"),
        ("NAME = a\nTYPE = DATABLOCK\nSIZE = 1\nFSTYPE = ntfs", "FSTYPE = ntfs"),
        (BASE + "TYPE = KERNEL", "TYPE = KERNEL"),
        (BASE + "TYPE = CONTEXT", "TYPE = CONTEXT"),
        (BASE + "PERSISTENT = MAYBE", "PERSISTENT is YES or NO"),
        (BASE + "PUBLIC = 1", "PUBLIC is YES or NO"),
        (BASE + "DRIVER = tap:aio:", "FORMAT = tap:aio:"),
        (BASE + "DRIVER = raw\nFORMAT = qcow2", "FORMAT is given twice"),
        (BASE + "NAME = b", "line 3: NAME is given twice"),
        (BASE + "\n\nCOLOUR = red", "line 5: the attribute COLOUR is unknown"),
        (BASE + "SOURCE = /b", "SOURCE is not served"),
        (BASE + "DISK = [ IMAGE = x ]", "section in brackets"),
        (BASE + "CONTEXT=[A=b,\nC=d]", "section in brackets"),
        (BASE + "]", "not understood"),
        (BASE + "PUBLIC YES", "not understood"),
        (BASE + "PUBLIC = YES NO", "not understood"),
        (BASE + 'DESCRIPTION = "open', "not understood"),
        (BASE + 'DESCRIPTION = "nul\0"', "control signs"),
        (BASE + "MD5 = 12", "MD5 is not 32"),
        (BASE + "SHA1 = " + "g" * 40, "SHA1 is not 40"),
        (BASE + "SHA1 = " + "a" * 40 + "\nMD5 = " + "a" * 32, "not both"),
        ("NAME = " + "n" * 129 + "\nPATH = /a", "NAME is longer"),
        (BASE + "DESCRIPTION = " + "n" * 256, "DESCRIPTION is longer"),
    ],
)
def test_what_is_wrong_is_told(text, told):
    with pytest.raises(BackendError) as refused:
        parse_template(text)
    assert told in refused.value.message
    assert refused.value.code is Code.PARAMETER_INVALID
    assert "\n" not in refused.value.message


PRINTED = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=60).filter(
    lambda text: not text.endswith("\\") and '\\"' not in text and "\\\\" not in text
)
BARE = st.from_regex(r"[A-Za-z0-9/._:-]{1,40}", fullmatch=True)


@settings(max_examples=300)
@given(
    name=PRINTED,
    path=BARE,
    description=PRINTED,
    form=st.sampled_from(FORMATS),
    persistent=st.booleans(),
    public=st.booleans(),
    data=st.data(),
)
def test_what_is_written_is_read(name, path, description, form, persistent, public, data):
    def quoted(text):
        return '"' + text.replace('"', '\\"') + '"'

    fields = {
        "NAME": quoted(name),
        "PATH": path,
        "DESCRIPTION": quoted(description),
        "FORMAT": form,
        "PERSISTENT": "YES" if persistent else "no",
        "PUBLIC": "yes" if public else "NO",
    }
    blanks = st.sampled_from(["", " ", "\t  "])
    lines = [
        f"{data.draw(blanks)}{key}{data.draw(blanks)}={data.draw(blanks)}{value} # {key} = wrong"
        for key, value in data.draw(st.permutations(list(fields.items())))
    ]
    assert parse_template("\n".join(lines)) == ImageTemplate(
        name=name, path=path, description=description, format=form, persistent=persistent, public=public
    )


@settings(max_examples=500)
@given(st.text(st.sampled_from(list('NAMEPTHSIZ=_ "\\\n\t#[],/1a')), max_size=80))
def test_any_text_is_read_or_refused(text):
    try:
        found = parse_template(BASE + text)
    except BackendError as refusal:
        found = refusal
    if isinstance(found, BackendError):
        assert found.code is Code.PARAMETER_INVALID
    else:
        assert found.name
        assert found.path
