"""What is granted of what is asked."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tftp.negotiate import LARGEST_BURST, LARGEST_WINDOW, Terms, negotiate


def granted(asked: Mapping[str, object], size: int = 1000, room: int = 1468) -> dict[str, str]:
    return dict(negotiate({name: str(value) for name, value in asked.items()}, size=size, room=room).granted)


def test_without_options_there_is_no_option_acknowledgement() -> None:
    assert negotiate({}, size=5, room=1468) == Terms(512, 1, None, {})


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"blksize": 1408}, {"blksize": "1408"}),
        ({"blksize": 8}, {"blksize": "8"}),
        ({"blksize": 7}, {}),
        ({"blksize": 65464}, {"blksize": "1468"}),
        ({"blksize": 65465}, {}),
        ({"blksize": 0}, {}),
        ({"blksize": "+512"}, {}),
        ({"blksize": " 512"}, {}),
        ({"blksize": "5_12"}, {}),
        ({"blksize": "٥١٢"}, {}),
        ({"blksize": "1e3"}, {}),
        ({"blksize": ""}, {}),
        ({"blksize": "9" * 400}, {}),
        ({"timeout": 1}, {"timeout": "1"}),
        ({"timeout": 255}, {"timeout": "255"}),
        ({"timeout": 0}, {}),
        ({"timeout": 256}, {}),
        ({"tsize": 0}, {"tsize": "1000"}),
        ({"tsize": 77}, {"tsize": "1000"}),
        ({"tsize": "x"}, {}),
        ({"windowsize": 1}, {"windowsize": "1"}),
        ({"windowsize": 0}, {}),
        ({"windowsize": 65535}, {"windowsize": str(LARGEST_WINDOW)}),
        ({"windowsize": 65536}, {}),
        ({"multicast": "", "blksize2": 1024, "rollover": 0, "utimeout": 1000}, {}),
        ({"BLKSIZE": 600, "Tsize": 0}, {"BLKSIZE": "600", "Tsize": "1000"}),
        ({"tsize": 0, "bad": 1, "blksize": 600}, {"tsize": "1000", "blksize": "600"}),
    ],
)
def test_each_option_is_granted_bounded_or_left_out(asked: dict[str, object], answer: dict[str, str]) -> None:
    assert granted(asked) == answer


def test_options_come_back_in_the_order_of_the_client() -> None:
    assert list(granted({"windowsize": 4, "tsize": 0, "blksize": 1468})) == ["windowsize", "tsize", "blksize"]


def test_a_small_interface_never_pushes_blocks_below_the_default() -> None:
    assert granted({"blksize": 1468}, room=36) == {"blksize": "512"}


def test_an_empty_file_has_a_size() -> None:
    assert granted({"tsize": 0}, size=0) == {"tsize": "0"}


names = st.sampled_from(["blksize", "windowsize", "timeout", "tsize", "BlkSize", "other"])
values = st.one_of(st.integers(-5, 70000).map(str), st.text(max_size=6))


@given(st.dictionaries(names, values), st.integers(0, 2**33), st.integers(0, 65503))
def test_terms_are_always_within_what_the_protocol_allows(asked: dict[str, str], size: int, room: int) -> None:
    terms = negotiate(asked, size=size, room=room)
    assert 8 <= terms.blksize <= max(room, 512)
    assert 1 <= terms.windowsize <= LARGEST_WINDOW
    assert terms.windowsize == 1 or terms.windowsize * terms.blksize <= LARGEST_BURST
    assert set(terms.granted) <= set(asked)
    assert terms.tells_size == any(name == "tsize" for name in terms.granted)
