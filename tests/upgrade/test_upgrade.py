"""Earlier code's logs and state, under today's code."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from schemas.catalogue import PAYMENTS_INPUTS
from streams.core import state
from streams.runtime import Record
from tests.upgrade import _recording
from tests.upgrade._lives import Lives
from tests.upgrade._recording import BYTES_MAX, Recording, accepted, recordings, verdict, whole

# What lies under a key's first letter; None: a mark that is only there or not.
KINDS = {
    b"p": state.Payment,
    b"x": state.Texts,
    b"i": state.StoredReply,
    b"t": state.TenantState,
    b"r": state.Policy,
    b"h": state.Health,
    b"c": state.Clock,
    b"f": state.Flow,
    b"w": state.Window,
    b"e": None,
    b"o": None,
    b"s": None,
    b"d": None,
    b"n": None,
}
LATER = {b"d", b"n"}
"""Kinds that came after the first recording."""


@pytest.fixture(scope="module", params=[path.name for path in recordings()])
def recording(request) -> Recording:
    """Each recording that is kept."""
    return Recording.load(_recording.RECORDED / request.param)


def test_a_recorded_log_replays_to_the_recorded_digests(recording):
    """Every event, request, reply, movement and byte of state is as it was, or the change is accepted with its reason."""
    said = verdict("replayed", recording, recording.replay(), accepted().get(recording.name))
    assert not said, said


def test_recorded_state_goes_on_as_it_did(recording):
    """From the changelog that the earlier version wrote, the rest of the log comes to the recorded digests."""
    said = verdict("resumed", recording, recording.resume(), accepted().get(recording.name))
    assert not said, said


def test_every_kind_of_recorded_state_is_read(recording):
    """Each value that an earlier version left in its changelog decodes, and all kinds with a history are there."""
    read: set[bytes] = set()
    for place in recording.cuts:
        for key, value in recording.state(place).items():
            kind = KINDS[key[:1]]
            read.add(key[:1])
            if kind is not None:
                assert isinstance(state.decode(kind, value), kind)
    assert read >= KINDS.keys() - {b"h"} - LATER


def test_there_is_a_recording_of_this_state_version():
    """Whoever raises the version records, and keeps the earlier recordings beside it."""
    assert f"state-{state.STATE_VERSION}" in [path.name for path in recordings()]
    for path in recordings():
        assert sum(file.stat().st_size for file in path.iterdir()) < BYTES_MAX


def test_accepted_changes_say_why_and_of_what():
    """Each names a recording that is kept, a reason and a digest."""
    kept = {path.name for path in recordings()}
    for change in accepted().values():
        assert change.recording in kept
        assert len(change.reason) > 10
        assert change.replayed or change.resumed


def test_a_difference_is_seen_named_and_can_be_accepted(recording):
    """One payment's amount is one minor unit larger: the verdict says where, and takes the digest that it asks for."""
    before = recording.replay()
    place, altered = _altered(recording.log)
    after = replace(recording, log=altered).replay()
    said = verdict("replayed", replace(recording, replayed=before), after, None)
    assert f"{PAYMENTS_INPUTS.name}/{place}: other output to payments.events" in said
    assert f"{PAYMENTS_INPUTS.name}/{place}: other state" in said
    change = _recording.Accepted(recording=recording.name, reason="a test wants it", replayed=whole(after))
    assert not verdict("replayed", replace(recording, replayed=before), after, change)
    assert "none any more" in verdict("replayed", replace(recording, replayed=before), before, change)


def _altered(log: list[Record]) -> tuple[int, list[Record]]:
    from schemas import codec
    from schemas.records import PaymentCommand

    for index, record in enumerate(log):
        if record.topic != PAYMENTS_INPUTS.name:
            continue
        message = codec.decode(record.value)
        if isinstance(message, PaymentCommand) and message.kind == "create":
            assert message.amount_minor is not None
            value = codec.encode(replace(message, amount_minor=message.amount_minor + 1))
            return record.partition, [*log[:index], replace(record, value=value), *log[index + 1 :]]
    raise AssertionError("no payment in the log")


def test_a_recording_is_saved_read_and_made_again_alike(tmp_path):
    """The same seed makes the same recording, byte for byte, and nothing is lost on disk."""
    made = Recording.make(seed=7, payments=12)
    path = made.save(tmp_path)
    again = Recording.make(seed=7, payments=12)
    assert Recording.load(path) == made == again
    assert Lives(seed=8, payments=12).run().log != made.log
