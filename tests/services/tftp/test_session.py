"""The transfer: byte-exact through loss, repetition and disorder, polite to those who never asked. No clock runs."""

from itertools import pairwise, repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.wire.tftp import Ack, Data, Error, ErrorCode, OptionAck, decode
from services.tftp import session
from services.tftp.content import ContentChangedError, TextContent
from services.tftp.negotiate import Terms
from services.tftp.session import NOTHING, Burst, End, Transfer
from tests.services.tftp.link import Client, Link
from tests.services.tftp.rig import octets


def transfer_of(content: bytes, terms: Terms | None = None) -> Transfer:
    return Transfer(TextContent(content), terms or Terms(), 0.0)


def started(content: bytes, windowsize: int = 1, blksize: int = 512) -> Transfer:
    """A transfer whose options the client accepted: the first window is under way."""
    transfer = transfer_of(content, Terms(blksize=blksize, windowsize=windowsize, granted={"blksize": str(blksize)}))
    transfer.begin(0.0)
    transfer.receive(Ack(0).encode(), 0.01)
    return transfer


def blocks(burst: Burst) -> list[int]:
    packets = [decode(raw) for raw in burst]
    return [packet.block for packet in packets if isinstance(packet, Data)]


def how(transfer: Transfer) -> End | None:
    return transfer.ending.how if transfer.ending else None


fates = st.lists(st.sampled_from(["ok", "ok", "ok", "lose", "double", "late"]), max_size=80).filter(
    lambda found: found.count("lose") <= 8
)


@settings(max_examples=200, deadline=None)
@given(
    size=st.one_of(st.integers(0, 2500), st.sampled_from([8, 16, 64, 512, 1024])),
    blksize=st.sampled_from([8, 16, 100]),
    windowsize=st.integers(1, 8),
    oack=st.booleans(),
    line=fates,
)
def test_the_client_gets_every_octet_once_through_a_bad_line(
    size: int, blksize: int, windowsize: int, oack: bool, line: list[str]
) -> None:
    content = octets(size)
    windowsize = windowsize if oack else 1
    granted = {"windowsize": str(windowsize)} if oack else {}
    transfer = transfer_of(content, Terms(blksize=blksize, windowsize=windowsize, granted=granted))
    client = Client(blksize, windowsize)
    link = Link(transfer, client, iter(line))
    link.run()
    assert how(transfer) is End.COMPLETED
    assert bytes(client.received) == content
    assert client.done
    assert transfer.delivered == size
    needed = size // blksize + 1 + (1 if oack else 0)
    assert link.to_client == needed + transfer.retransmits


@given(windowsize=st.integers(1, 8), size=st.integers(0, 2000))
def test_a_good_line_carries_every_block_once(windowsize: int, size: int) -> None:
    transfer = transfer_of(
        octets(size), Terms(blksize=16, windowsize=windowsize, granted={"windowsize": str(windowsize)})
    )
    link = Link(transfer, Client(16, windowsize), repeat("ok"))
    link.run()
    assert how(transfer) is End.COMPLETED
    assert transfer.retransmits == 0
    assert link.to_client == size // 16 + 2


@settings(max_examples=30, deadline=None)
@given(windowsize=st.integers(1, 6), junk=st.lists(st.binary(max_size=8), max_size=30))
def test_junk_from_the_client_breaks_nothing(windowsize: int, junk: list[bytes]) -> None:
    transfer = started(octets(3000), windowsize)
    for at, raw in enumerate(junk):
        if raw[:2] != b"\0\5":
            burst = transfer.receive(raw, 0.1 + at / 1000)
            assert len(burst) <= windowsize


@pytest.mark.parametrize("size", [0, 512, 1024])
def test_exact_multiples_and_empty_files_end_with_an_empty_block(size: int) -> None:
    transfer = started(octets(size))
    last = size // 512 + 1
    for block in range(1, last):
        burst = transfer.receive(Ack(block).encode(), 0.1)
    if size == 0:
        burst = transfer.expire(transfer.deadline)
    assert decode(burst[0]) == Data(last, b"")
    assert transfer.receive(Ack(last).encode(), 0.2) == NOTHING
    assert how(transfer) is End.COMPLETED


@pytest.mark.parametrize("windowsize", [1, 4])
def test_65535_is_followed_by_0(windowsize: int) -> None:
    content = octets(65540 * 8 + 3)
    transfer = transfer_of(content, Terms(blksize=8, windowsize=windowsize, granted={"blksize": "8"}))
    client = Client(8, windowsize)
    Link(transfer, client, repeat("ok")).run()
    assert how(transfer) is End.COMPLETED
    assert bytes(client.received) == content
    assert transfer.block == 65541


@pytest.mark.parametrize("windowsize", [1, 4])
def test_a_repeated_acknowledgement_never_draws_data_again(windowsize: int) -> None:
    transfer = started(octets(9000), windowsize)
    assert len(transfer.receive(Ack(windowsize).encode(), 0.1)) == windowsize
    assert transfer.receive(Ack(windowsize).encode(), 0.1) == NOTHING
    assert transfer.receive(Ack(0).encode(), 0.1) == NOTHING


def test_an_acknowledgement_of_what_was_never_sent_is_ignored() -> None:
    transfer = started(octets(9000), 4)
    for block in (5, 6, 1000, 65535):
        assert transfer.receive(Ack(block).encode(), 0.1) == NOTHING
    assert transfer.block == 0


def test_an_acknowledgement_inside_the_window_starts_it_again_after_the_gap() -> None:
    transfer = started(octets(9000), 4)
    assert blocks(transfer.receive(Ack(2).encode(), 0.1)) == [3, 4, 5, 6]
    assert transfer.retransmits == 2


def test_only_the_first_packet_is_sent_before_the_first_acknowledgement() -> None:
    transfer = transfer_of(octets(9000), Terms(windowsize=8, granted={"windowsize": "8"}))
    sent = list(transfer.begin(0.0))
    while transfer.ending is None:
        sent += transfer.expire(transfer.deadline)
    assert {type(decode(raw)) for raw in sent} == {OptionAck}
    assert len(sent) == 1 + session.HALF_OPEN_REPEATS
    assert how(transfer) is End.TIMED_OUT
    assert transfer.deadline <= 20


def test_without_options_the_first_packet_is_block_1_alone() -> None:
    transfer = transfer_of(octets(9000))
    assert blocks(transfer.begin(0.0)) == [1]
    assert transfer.receive(Ack(0).encode(), 0.1) == NOTHING


def test_a_request_repeated_draws_the_first_packet_only_until_the_client_answered() -> None:
    transfer = transfer_of(octets(9000), Terms(granted={"blksize": "512"}))
    first = transfer.begin(0.0)
    assert transfer.repeat(0.5) == first
    transfer.receive(Ack(0).encode(), 0.6)
    assert transfer.repeat(0.7) == NOTHING


def test_silence_repeats_the_block_ever_more_rarely_and_ends() -> None:
    transfer = started(octets(9000))
    moments = [0.01]
    while transfer.ending is None:
        moments.append(transfer.deadline)
        burst = transfer.expire(transfer.deadline)
        assert len(burst) == 1
    waits = [round(after - before, 6) for before, after in pairwise(moments)]
    assert waits == sorted(waits)
    assert waits[0] < 0.1
    assert moments[-1] < session.GIVE_UP + 6
    assert how(transfer) is End.TIMED_OUT
    assert isinstance(decode(burst[0]), Error)


def piece_after_piece(transfer: Transfer, burst: Burst) -> list[list[int]]:
    """What leaves until the whole window is under way."""
    pieces = [blocks(burst)]
    while sum(map(len, pieces)) < transfer.terms.windowsize:
        pieces.append(blocks(transfer.expire(transfer.deadline)))
    return pieces


def test_after_silence_a_window_leaves_in_pieces_that_grow_again() -> None:
    transfer = started(octets(90000), 8)
    assert piece_after_piece(transfer, transfer.expire(transfer.deadline)) == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert piece_after_piece(transfer, transfer.expire(transfer.deadline)) == [[1, 2], [3, 4], [5, 6], [7, 8]]
    assert transfer.retransmits == 16
    grown = piece_after_piece(transfer, transfer.receive(Ack(8).encode(), transfer.deadline))
    assert grown == [[9, 10, 11, 12], [13, 14, 15, 16]]
    assert blocks(transfer.receive(Ack(16).encode(), transfer.deadline)) == list(range(17, 25))


def test_one_gap_is_chance_and_gaps_on_end_make_pieces_smaller() -> None:
    transfer = started(octets(90000), 8)
    assert len(transfer.receive(Ack(3).encode(), 0.1)) == 8
    assert len(transfer.receive(Ack(6).encode(), 0.2)) == 4


def test_all_that_ever_left_may_be_acknowledged_while_it_leaves_again_in_pieces() -> None:
    transfer = started(octets(90000), 8)
    assert blocks(transfer.expire(transfer.deadline)) == [1, 2, 3, 4]
    assert blocks(transfer.receive(Ack(8).encode(), transfer.deadline))[0] == 9


def test_the_deadline_follows_the_measured_round_trip() -> None:
    transfer = started(octets(90000))
    now = 0.01
    for block in range(1, 50):
        now += 0.2
        transfer.receive(Ack(block).encode(), now)
    assert 0.2 < transfer.deadline - now < 0.5


def test_a_packet_that_was_repeated_is_never_measured() -> None:
    """Its acknowledgement may be that of the first copy, or of the second (Karn)."""
    transfer = started(octets(90000))
    transfer.receive(Ack(1).encode(), 0.02)
    before = transfer.round_trip.smoothed
    transfer.expire(transfer.deadline)
    transfer.receive(Ack(2).encode(), 4.0)
    assert transfer.round_trip.smoothed == before
    transfer.receive(Ack(3).encode(), 4.5)
    assert transfer.round_trip.smoothed > before


def test_a_deadline_that_has_not_come_does_nothing() -> None:
    transfer = started(octets(9000))
    assert transfer.expire(transfer.deadline - 0.001) == NOTHING


def test_the_timeout_option_bounds_the_wait() -> None:
    transfer = transfer_of(octets(9000), Terms(timeout=1, granted={"timeout": "1"}))
    transfer.begin(0.0)
    assert transfer.deadline == 1.0
    transfer.expire(1.0)
    assert transfer.deadline == 2.0


@pytest.mark.parametrize("code", [ErrorCode.UNDEFINED, ErrorCode.OPTION_NEGOTIATION])
def test_an_error_after_the_size_was_told_is_a_probe(code: ErrorCode) -> None:
    transfer = transfer_of(octets(10), Terms(granted={"tsize": "10"}))
    transfer.begin(0.0)
    transfer.receive(Error(code, "thanks").encode() + b"\0\0", 0.1)
    assert how(transfer) is End.PROBED


@pytest.mark.parametrize("granted", [{}, {"blksize": "512"}])
def test_an_error_where_the_size_was_not_asked_is_an_abort(granted: dict[str, str]) -> None:
    transfer = transfer_of(octets(10), Terms(granted=granted))
    transfer.begin(0.0)
    transfer.receive(Error(8, "no").encode(), 0.1)
    assert how(transfer) is End.ABORTED


def test_an_error_after_the_options_were_accepted_is_an_abort() -> None:
    transfer = transfer_of(octets(10), Terms(granted={"tsize": "10"}))
    transfer.begin(0.0)
    transfer.receive(Ack(0).encode(), 0.1)
    transfer.receive(Error(8, "no").encode(), 0.2)
    assert how(transfer) is End.ABORTED


def test_a_file_too_large_for_the_client_is_an_abort() -> None:
    transfer = transfer_of(octets(10), Terms(granted={"tsize": "10"}))
    transfer.begin(0.0)
    transfer.receive(Error(ErrorCode.DISK_FULL, "too large").encode(), 0.1)
    assert how(transfer) is End.ABORTED


def test_an_error_under_way_is_an_abort_that_says_how_far_it_came() -> None:
    transfer = started(octets(9000), 2)
    transfer.receive(Ack(2).encode(), 0.1)
    transfer.receive(Error(0, "user pressed a key").encode(), 0.2)
    assert how(transfer) is End.ABORTED
    assert transfer.ending is not None
    assert "user pressed a key" in transfer.ending.detail
    assert (transfer.delivered, transfer.block) == (1024, 2)
    assert transfer.seconds == pytest.approx(0.1)


def test_a_client_that_starts_over_is_told_from_a_late_copy_of_its_request() -> None:
    transfer = started(octets(9000))
    transfer.receive(Ack(1).encode(), 0.1)
    assert not transfer.stale(0.2)
    assert transfer.stale(0.1 + session.STALE)
    transfer.replace()
    assert how(transfer) is End.ABORTED


class Rewritten(TextContent):
    """A file that somebody overwrites during the transfer."""

    def check(self) -> None:
        raise ContentChangedError


def test_a_file_that_changed_is_never_completed() -> None:
    transfer = Transfer(Rewritten(octets(700)), Terms(), 0.0)
    transfer.begin(0.0)
    burst = transfer.receive(Ack(1).encode(), 0.1)
    assert isinstance(decode(burst[0]), Error)
    assert how(transfer) is End.ABORTED
