"""Settings: the file, then the environment, then flags; wrong ones are named with the remedy."""

from pathlib import Path

import pytest

from libs.settings import HostPort, SettingsError, field_of, known_keys, load, parse_host_port


def _file(folder: Path, text: str) -> Path:
    path = folder / "kickfleet.toml"
    path.write_text(text)
    return path


def test_the_defaults_are_the_contracts(tmp_path: Path) -> None:
    settings = load(_file(tmp_path, ""), {})
    assert settings.site == "lab"
    assert settings.data == tmp_path / "var"
    assert str(settings.bus.listen) == "127.0.0.1:4222"
    assert settings.dhcp.port == 67
    assert str(settings.tftp.listen) == "0.0.0.0:69"
    assert str(settings.kickstart.listen) == "0.0.0.0:8081"
    assert settings.kickstart.templates == tmp_path / "templates"
    assert str(settings.inventory.listen) == "127.0.0.1:8080"
    assert (settings.bus.url, settings.database.url, settings.kickstart.public_url) == ("", "", "")


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, '[dhcp]\nport = 1067\n[kickstart]\nlisten = "127.0.0.1:1"\n[bus]\nurl = "nats://a:1"\n')
    environment = {"KICKFLEET_KICKSTART__LISTEN": "127.0.0.1:2", "KICKFLEET_BUS__URL": "nats://b:1", "HOME": "/"}
    settings = load(path, environment, {"bus.url": "nats://c:1"})
    assert settings.dhcp.port == 1067
    assert settings.kickstart.listen == HostPort("127.0.0.1", 2)
    assert settings.bus.url == "nats://c:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[dhcp]\nprot = 67\n", r"no setting `dhcp\.prot`; the nearest is `dhcp\.port`"),
        ("[kikstart]\nlisten = 'x'\n", r"no setting `kikstart`; the nearest is `kickstart"),
        ("[dhcp]\nport = 70000\n", r"`dhcp\.port` is wrong"),
        ("[tftp]\nlisten = '69'\n", r"`tftp\.listen` is wrong: '69' is not host:port"),
        ("site = 'A B'\n", r"`site` is wrong"),
        ("dhcp = 67\n", r"`dhcp` is wrong"),
        ("[dhcp\n", "cannot be read as TOML"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_be_right(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(_file(tmp_path, text), {})


def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no configuration file"):
        load(tmp_path / "missing.toml", {})


def test_an_unknown_variable_of_ours_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no setting `dhcp\.prot`"):
        load(_file(tmp_path, ""), {"KICKFLEET_DHCP__PROT": "67"})


def test_every_key_has_a_description() -> None:
    assert [key for key in known_keys() if not field_of(key).description] == []


def test_addresses_are_read_and_written_alike() -> None:
    for text in ("127.0.0.1:0", "[::1]:8080", "localhost:65535"):
        assert str(parse_host_port(text)) == text
