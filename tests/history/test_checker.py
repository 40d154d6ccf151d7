"""Each anomaly is found where it was planted, and in clean histories there is none."""

from __future__ import annotations

from random import Random

import pytest

from tests.history import ANOMALIES, Operation, check


class Story:
    """A history as short calls; the counter goes on by itself."""

    def __init__(self):
        self.history: list[Operation] = []
        self._now = 0

    def put(self, process, kind, **fields):
        self._now += 2
        fields.setdefault("began", self._now - 1)
        self.history.append(Operation(process=process, kind=kind, topic="t", partition=0, ended=self._now, **fields))
        return self

    def send(self, value, offset=-1, *, txn="", process="w", outcome="ok"):
        return self.put(process, "send", value=value, offset=offset, transaction=txn, outcome=outcome)

    def poll(self, value, offset, *, process="r"):
        return self.put(process, "poll", value=value, offset=offset)

    def commit(self, txn, outcome="ok", *, process="w", began=None):
        fields = {} if began is None else {"began": began}
        return self.put(process, "commit", transaction=txn, outcome=outcome, **fields)

    def abort(self, txn, *, process="w"):
        return self.put(process, "abort", transaction=txn)

    def assign(self, offset, *, process="r"):
        return self.put(process, "assign", offset=offset)

    def end(self, *, process="r"):
        return self.put(process, "end")

    def kinds(self):
        return {anomaly.kind for anomaly in check(self.history)}


PLANTED = {
    "aborted-read": Story().send("a", txn="1").abort("1").poll("a", 0),
    "precommitted-read": Story().send("a", txn="1").poll("a", 0).commit("1"),
    "lost-write": Story().send("a", 0).send("b", 1).poll("b", 1),
    "torn-transaction": Story().send("a", 0, txn="1").send("b", 1, txn="1").commit("1", "unknown").poll("b", 1),
    "unseen": Story().send("a", 0).poll("a", 0).send("b", 1).end(),
    "duplicate": Story().send("a").poll("a", 0).poll("a", 2),
    "inconsistent-offset": Story().send("a").send("b").poll("a", 0).poll("b", 0, process="other"),
    "nonmonotonic-poll": Story().send("a").send("b").poll("a", 0).poll("b", 1).poll("a", 0),
    "skipped-poll": Story()
    .send("a").send("b").send("c")
    .poll("a", 0, process="other").poll("b", 1, process="other").poll("c", 2, process="other")
    .poll("a", 0).poll("c", 2),
    "unsent": Story().send("a").poll("a", 0).poll("b", 1),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(ANOMALIES))
def test_a_planted_anomaly_is_found(kind):
    """Exactly that one, described in the list of anomalies."""
    assert PLANTED[kind].kinds() == {kind}


def test_other_shapes_of_the_same_anomalies_are_found():
    """A failed send that is read; a loss without offsets, by the sender's order; a skip behind an assignment."""
    assert Story().send("a", outcome="failed").poll("a", 0).kinds() == {"aborted-read"}
    assert Story().send("a", txn="1").commit("1", "failed").poll("a", 0).kinds() == {"aborted-read"}
    assert Story().send("a").send("b").poll("b", 1).kinds() == {"lost-write"}
    both = Story().send("a").send("b").poll("a", 4, process="other").poll("b", 5, process="other")
    assert both.assign(4).poll("b", 5).kinds() == {"skipped-poll"}
    assert Story().send("a").send("b").poll("a", 4).poll("b", 5).assign(5).poll("a", 4).kinds() == {"nonmonotonic-poll"}
    assert Story().send("a", 0).send("a", 3).poll("a", 0).kinds() == {"duplicate"}
    assert Story().send("a", txn="1").poll("a", 0).kinds() == {"precommitted-read"}


def test_what_looks_odd_and_is_right_passes():
    """Retries after aborts, rewinds by assignment, gaps of markers, commits without an answer, other readers' pace."""
    retried = Story().send("a", txn="1").abort("1").send("a", txn="2", process="w2").commit("2", process="w2")
    assert retried.poll("a", 1).end().kinds() == set()
    unanswered = Story().send("a", txn="1").commit("1", "unknown").poll("a", 0)
    assert unanswered.kinds() == set()
    assert Story().send("a", txn="1").commit("1", "unknown").end().kinds() == set()
    assert Story().send("a", txn="1").end().kinds() == set()
    rewound = Story().send("a").send("b").poll("a", 0).poll("b", 3).assign(0).poll("a", 0).poll("b", 3)
    assert rewound.kinds() == set()
    during = Story().send("a", txn="1")
    assert during.poll("a", 0).commit("1", began=1).kinds() == set()
    assert Story().send("a", 0).send("b", 1).poll("a", 0).kinds() == set()
    assert Story().kinds() == set()


def _clean(random: Random) -> Story:
    """Two writers with transactions that commit or abort and are tried again, and two readers that keep up."""
    story = Story()
    log: list[str] = []
    for number in range(30):
        writer, txn = f"w{random.randrange(2)}", f"txn-{number}"
        values = [f"{number}-{index}" for index in range(1 + random.randrange(3))]
        if random.random() < 0.3:
            for value in values:
                story.send(value, txn=f"{txn}-first", process=writer)
            if random.random() < 0.5:
                story.abort(f"{txn}-first", process=writer)
        for value in values:
            story.send(value, txn=txn, process=writer)
        story.commit(txn, random.choice(("ok", "ok", "unknown")), process=writer)
        log.extend([*values, "marker"])
    for reader in ("r1", "r2"):
        _read(story, reader, log, random)
    return story


def _read(story: Story, reader: str, log: list[str], random: Random) -> None:
    for offset, value in enumerate(log):
        if value != "marker":
            story.poll(value, offset, process=reader)
        if random.random() < 0.05:
            start = random.randrange(offset + 1)
            story.assign(start, process=reader)
            for again in range(start, offset + 1):
                if log[again] != "marker":
                    story.poll(log[again], again, process=reader)
    story.end(process=reader)


@pytest.mark.parametrize("seed", range(30))
def test_random_clean_histories_pass_and_damaged_ones_do_not(seed):
    """A history without a fault has no anomaly; the same with one poll taken out, moved or repeated has one."""
    random = Random(seed)
    story = _clean(random)
    assert story.kinds() == set()
    polls = [index for index, one in enumerate(story.history) if one.kind == "poll" and one.process == "r1"]
    # One in the middle of an unbroken stretch, so that its absence shows.
    at = next(
        index
        for index in polls[1:-1]
        if story.history[index - 1].kind == story.history[index + 1].kind == "poll"
        and story.history[index - 1].offset < story.history[index].offset < story.history[index + 1].offset
    )
    without = [one for index, one in enumerate(story.history) if index != at]
    assert {anomaly.kind for anomaly in check(without)} == {"skipped-poll"}
    moved = list(story.history)
    moved[at], moved[at + 1] = moved[at + 1], moved[at]
    assert "nonmonotonic-poll" in {anomaly.kind for anomaly in check(moved)}
    poll = story.history[at]
    again = Operation(
        process="r3", kind="poll", topic="t", partition=0, offset=10_000, value=poll.value, began=10**6, ended=10**6
    )
    assert "duplicate" in {anomaly.kind for anomaly in check([*story.history, again])}


def test_every_anomaly_names_what_shows_it():
    """A message has the partition and the value, so that the log can be looked up; each anomaly appears once."""
    story = PLANTED["duplicate"]
    (anomaly,) = check([*story.history, story.history[-1]])[:1]
    assert "t[0]" in anomaly.message
    assert "'a'" in anomaly.message
    assert len(check(story.history)) == len(set(check(story.history)))
