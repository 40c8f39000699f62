"""Declarations: the contract's own file is read, every fault is named with its place and its remedy."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.mac import dashed
from services.inventory.resources.check import Standing, check
from services.inventory.resources.faults import Fault, FleetError, faults_of, path_of
from services.inventory.resources.fleet import KINDS, Fleet, Machine, Webhook
from services.inventory.resources.values import Duration, Mac, read_duration, write_duration
from services.inventory.resources.yaml import read_yaml
from services.inventory.webhooks.formats import FORMATS

CONTRACT = """
subnets:
  - name: rack1
    cidr: 10.77.0.0/24
    interface: eth1              # or served through a relay: leave it out
    pool: 10.77.0.100-10.77.0.199
    gateway: 10.77.0.1
    dns: [10.77.0.53]
    domain: lab.example
    lease_time: 1h
    mode: server                 # server | proxy (another DHCP server gives the addresses)
    unknown: ignore              # machines nobody registered: ignore | discover | lease
images:
  - name: rocky-9
    family: redhat               # redhat | debian | ubuntu | suse | image (a disk image, written as it is)
    kernel: images/pxeboot/vmlinuz
    initrd: [images/pxeboot/initrd.img]
    arch: x86_64
profiles:
  - name: web
    image: rocky-9
    answers: rocky.ks.j2
    kernel_options: [console=ttyS0,115200]
    variables: {disk: vda}
    limits: {installing: 40m}    # any state's deadline
    boot_loader: auto
machines:
  - name: node01
    macs: ["52:54:00:00:00:01"]  # any usual spelling is read; lower-case colons are written
    address: 10.77.0.11
    profile: web
    tags: {rack: r1}
    variables: {disk: sda}       # machine over profile over site
    external_id: CMDB-4711
webhooks:
  - name: ops-chat
    url: https://chat.example/hook/…
    format: slack
    events: [install.done, install.failed, install.stalled]
    secret: …
"""


def faults(text: str) -> list[str]:
    """What is wrong with a fleet file, whoever finds it."""
    try:
        return [str(fault) for fault in check(Fleet.model_validate(read_yaml(text, "fleet.yaml")), Standing())]
    except ValidationError as error:
        return [str(fault) for fault in faults_of([dict(item) for item in error.errors()])]
    except FleetError as error:
        return [str(fault) for fault in error.faults]


def test_the_contracts_own_file_is_read() -> None:
    fleet = Fleet.model_validate(read_yaml(CONTRACT))
    assert check(fleet, Standing()) == []
    assert fleet.subnets[0].lease_time == 3600
    assert str(fleet.subnets[0].pool[0].last) == "10.77.0.199"
    assert fleet.profiles[0].kernel_options == ["console=ttyS0,115200"]
    assert fleet.profiles[0].limits == {"installing": 2400}


@pytest.mark.parametrize("kind", list(KINDS))
def test_what_is_written_is_read_again_the_same(kind: str) -> None:
    one = Fleet.model_validate(read_yaml(CONTRACT)).of(kind)[0]
    assert KINDS[kind].model_validate(one.spec()) == one
    assert KINDS[kind].model_validate(one.model_dump(mode="json")).spec() == one.spec()


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (
            "external_id",
            "external_ld",
            "machines[0].external_ld: there is no key 'external_ld' here; did you mean 'external_id'?",
        ),
        (
            "installing: 40m",
            "instaling: 40m",
            "profiles[0].limits.instaling: 'instaling' is no state with a deadline; did you mean 'installing'?",
        ),
        (
            "installing: 40m",
            "installing: soon",
            "profiles[0].limits.installing: 'soon' is not a duration; write it like 90s, 40m, 1h or 1h30m",
        ),
        (
            '"52:54:00:00:00:01"',
            '"52:54:00:00:00"',
            "machines[0].macs[0]: '52:54:00:00:00' is not a hardware address; write it like 52:54:00:12:34:56",
        ),
        (
            '"52:54:00:00:00:01"',
            '"01:00:5e:00:00:01"',
            "machines[0].macs[0]: 01:00:5e:00:00:01 is a group address, not one machine's",
        ),
        (
            '["52:54:00:00:00:01"]',
            '["52:54:00:00:00:01", 5254.0000.0001]',
            "machines[0].macs[1]: 52:54:00:00:00:01 is already 'node01''s; a hardware address belongs to one machine",
        ),
        (
            "lease_time: 1h",
            "lease_time: 1x",
            "subnets[0].lease_time: '1x' is not a duration; write it like 90s, 40m, 1h or 1h30m",
        ),
        (
            "cidr: 10.77.0.0/24",
            "cidr: 10.77.0.1/24",
            "subnets[0].cidr: this is not an IPv4 network; write it like 10.77.0.0/24, with no bits",
        ),
        (
            "pool: 10.77.0.100-10.77.0.199",
            "pool: 10.77.0.199-10.77.0.100",
            "subnets[0].pool: the range 10.77.0.199-10.77.0.100 ends before it begins; write 10.77.0.100-10.77.0.199",
        ),
        (
            "pool: 10.77.0.100-10.77.0.199",
            "pool: [10.77.0.9, 10.78.0.1-10.78.0.2]",
            "subnets[0].pool[1]: 10.78.0.1-10.78.0.2 is outside 10.77.0.0/24",
        ),
        (
            "pool: 10.77.0.100-10.77.0.199",
            "pool: 10.77.0.100-10.77.0.199\n    exclude: [10.77.0.150, 10.77.0.200-10.77.0.210]",
            "subnets[0].exclude[1]: 10.77.0.200-10.77.0.210 is outside the pool; nothing else needs to be excluded",
        ),
        (
            "pool: 10.77.0.100-10.77.0.199",
            "pool: 10.77.0.100-10.77.0.199\n    exclude: everything",
            "subnets[0].exclude: 'everything' is not a range of addresses; write it like 10.77.0.100-10.77.0.199",
        ),
        ("gateway: 10.77.0.1", "gateway: 10.78.0.1", "subnets[0].gateway: 10.78.0.1 is outside 10.77.0.0/24"),
        (
            "mode: server",
            "mode: proxy",
            "subnets[0].pool: with mode: proxy another server gives the addresses; leave the pool out",
        ),
        (
            "address: 10.77.0.11",
            "address: 10.78.0.11",
            "machines[0].address: 10.78.0.11 is in no subnet (rack1 10.77.0.0/24); choose an",
        ),
        (
            "address: 10.77.0.11",
            "address: 10.77.0.1",
            "machines[0].address: 10.77.0.1 is the gateway of subnet 'rack1'; choose an address",
        ),
        (
            "address: 10.77.0.11",
            "address: 10.77.0.255",
            "machines[0].address: 10.77.0.255 is the network's or the broadcast address of subnet",
        ),
        ("image: rocky-9", "image: rocky9", "profiles[0].image: there is no image 'rocky9'; did you mean 'rocky-9'?"),
        ("profile: web", "profile: wbe", "machines[0].profile: there is no profile 'wbe'; did you mean 'web'?"),
        (
            "install.done",
            "install.don",
            "webhooks[0].events: there is no event 'install.don'; did you mean 'install.done'?",
        ),
        (
            "https://chat.example/hook/…",
            "ftp://chat.example",
            "webhooks[0].url: this is not an http or https address; write it like https://chat.example/hook/…",
        ),
        (
            "- name: node01",
            "- name: Node01",
            "machines[0].name: 'Node01' is not a name; use 1 to 63 lower-case letters, digits, '-'",
        ),
        ("    cidr: 10.77.0.0/24\n", "", "subnets[0].cidr: this is required; add it"),
        (
            "kernel: images",
            "kernel: ../images",
            "images[0].kernel: '../images/pxeboot/vmlinuz' is not a path below the image's folder;",
        ),
        (
            "family: redhat",
            "family: windows",
            "images[0].family: Input should be 'redhat', 'debian', 'ubuntu', 'suse' or 'image'",
        ),
        (
            "profile: web",
            "name: web",
            "fleet.yaml, line 31: this is not YAML as a fleet file needs it: the key 'name' is written twice",
        ),
        (
            "subnets:",
            "subnets: [",
            "fleet.yaml, line 3: this is not YAML as a fleet file needs it: expected the node content, but found '-'",
        ),
        (
            "variables: {disk: vda}",
            "variables: {a-b: 1}",
            "profiles[0].variables.a-b: 'a-b' is not the name of a variable; use letters, digits and '_'",
        ),
    ],
)
def test_a_fault_is_named_with_its_place_and_its_remedy(right: str, wrong: str, said: str) -> None:
    assert right in CONTRACT
    (found,) = faults(CONTRACT.replace(right, wrong, 1))
    assert found.startswith(said)


def test_names_are_declared_once_and_subnets_do_not_overlap() -> None:
    again = "  - name: rack1\n    cidr: 10.77.0.128/25\nimages:"
    found = faults(CONTRACT.replace("images:", again, 1))
    assert "subnets[1].name: 'rack1' is declared twice, also in subnets[0]; drop one" in found
    other = faults(CONTRACT.replace("images:", again.replace("rack1", "rack2"), 1))
    assert "subnets[0].cidr: 10.77.0.0/24 overlaps subnet 'rack2' (10.77.0.128/25)" in other


def test_what_stands_collides_as_well() -> None:
    fleet = Fleet.model_validate(read_yaml(CONTRACT))
    other = Machine.model_validate({"name": "old", "macs": ["52-54-00-00-00-01"], "address": "10.77.0.11"})
    found = [str(fault) for fault in check(fleet, Standing(machines={"old": other}))]
    assert found == [
        "machines[0].macs[0]: 52:54:00:00:00:01 is already 'old''s; a hardware address belongs to one machine",
        "machines[0].address: 10.77.0.11 is already 'old''s; choose another",
    ]


def test_what_stands_and_loses_its_ground_is_named() -> None:
    fleet = Fleet.model_validate(read_yaml(CONTRACT))
    left = Machine.model_validate({"name": "old", "macs": [1], "address": "10.99.0.1", "profile": "gone"})
    found = [str(fault) for fault in check(fleet, Standing(machines={"old": left}))]
    assert found == [
        "profiles: machine 'old' uses the profile 'gone'; change it first",
        "subnets: the address of machine 'old' would be wrong: 10.99.0.1 is in no subnet (rack1 10.77.0.0/24);"
        " change it first",
    ]


octets = st.lists(st.integers(0, 255), min_size=6, max_size=6).filter(lambda six: any(six) and not six[0] & 1)


@given(octets)
def test_every_spelling_of_a_hardware_address_is_the_same_one(six: list[int]) -> None:
    mac = ":".join(f"{octet:02x}" for octet in six)
    bare = mac.replace(":", "")
    dots = ".".join(bare[at : at + 4] for at in (0, 4, 8))
    reader: TypeAdapter[str] = TypeAdapter(Mac)
    for spelled in (mac, mac.upper(), dashed(mac), bare, dots, f" {mac} "):
        assert reader.validate_python(spelled) == mac
    # Unquoted in YAML, an address may look like a number in base 60 or 10.
    for spelled in (mac, bare, dots):
        assert reader.validate_python(read_yaml(f"mac: {spelled}")["mac"]) == mac


@given(st.integers(1, 10 * 365 * 86400))
def test_durations_are_written_as_they_are_read(seconds: int) -> None:
    assert read_duration(write_duration(seconds)) == seconds
    assert TypeAdapter(Duration).dump_python(seconds) == write_duration(seconds)


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), (90, 90), ("40m", 2400), ("1h30m", 5400), ("2d", 172800)])
def test_durations(text: Any, seconds: int) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "m", "1h 30m", "1.5h", True, None, "9" * 30])
def test_what_is_no_duration(text: Any) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        read_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("a: yes", "yes"), ("a: 010", "010"), ("a: 2026-01-01", "2026-01-01"), ("a: 7", 7), ("a: 1.5", 1.5), ("a:", None),
     ("a: true", True), ("a: name", "name"), ("a: 5254e0000001", "5254e0000001"), ("a: ~", None)],
)  # fmt: skip
def test_yaml_means_what_it_looks_like(text: str, value: Any) -> None:
    assert read_yaml(text)["a"] == value


def test_yaml_that_stands_for_too_much_is_refused() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert faults(bomb) == ["fleet.yaml: the file stands for more than 1000000 values; use fewer aliases"]
    assert "nested too deeply" in faults("a: " + "[" * 5000)[0]
    assert faults("[1, 2]") == [
        "fleet.yaml: the file is no mapping; write keys such as `machines:` with lists below them"
    ]


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(faults(text), list)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "macs", "machines", "subnets", "pool", "limits", "x"]), inner, max_size=3
            )
        ),
    )
)
def test_no_document_breaks_the_reader(document: Any) -> None:
    found: list[Fault] = []
    try:
        Fleet.model_validate(document)
    except ValidationError as error:
        found = faults_of([dict(item) for item in error.errors()])
    assert all(fault.message for fault in found)


def test_a_webhooks_address_and_secret_are_not_shown_and_survive_being_written_back() -> None:
    hook = Webhook(name="ops", url="https://user:pw@chat.example:8443/hook/abc?key=1", secret="s3cret")
    shown = hook.shown()
    assert (shown["url"], shown["secret"]) == ("https://chat.example:8443/…", "…")
    assert "abc" not in repr(hook)
    assert "s3cret" not in repr(hook)
    assert Webhook.model_validate(shown).completed_by(hook) == hook
    changed = Webhook.model_validate({**shown, "url": "https://new.example/x"}).completed_by(hook)
    assert (changed.url, changed.secret) == ("https://new.example/x", "s3cret")


def test_the_formats_that_may_be_declared_are_those_that_there_are() -> None:
    assert set(get_args(Webhook.model_fields["format"].annotation)) == set(FORMATS)


def test_paths_are_written_as_in_the_contract() -> None:
    assert path_of(("machines", 3, "macs", 0)) == "machines[3].macs[0]"
    assert path_of(("limits", "x", "[key]")) == "limits.x"
