"""The product's own replay, on the log of a stack that was killed throughout: what `clearline replay` says of it."""

from __future__ import annotations

from pathlib import Path

from streams.replay import KafkaLog, Report, replay
from tests.chaos.checks import Check


def replayed(bootstrap: str, *, scratch: Path) -> Check:
    """`clearline replay` reports equality: every state, event, request, reply, movement and rejection."""
    return judged(replay(KafkaLog(bootstrap), scratch=scratch, with_digests=True))


def judged(report: Report) -> Check:
    """What a replay's report says, as a check with its counts."""
    counts: dict[str, int] = {}
    for fold in report.folds:
        for topic, count in fold.topics.items():
            counts[topic] = counts.get(topic, 0) + count.equal
    shown = ", ".join(f"{topic} {count:,}" for topic, count in sorted(counts.items()))
    check = Check(f"replay reports equality: {report.inputs:,} inputs in {report.folding_s:.0f} s ({shown})")
    check.count = sum(counts.values()) + len(report.digests)
    for fold in report.folds:
        for difference in fold.differences:
            check.fault(f"{fold.fold}, partition {fold.partition}: {difference.kind} {difference.what}")
    for difference in (*report.strays, *report.digest_differences):
        check.fault(f"{difference.kind} {difference.what}")
    if not report.equal and check.holds:
        check.fault(f"{report.difference_count:,} differences that the report does not show")
    if report.not_comparable:
        check.fault(f"{report.not_comparable:,} records were not comparable on a log that is kept whole")
    if not report.inputs:
        check.fault("nothing was folded")
    return check
