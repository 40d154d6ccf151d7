"""A measured figure: its spread over rounds, its ratios to other sides, and where it is kept."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RATIO_DIGITS = 3
LATEST = Path(".bench/latest.json")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Smallest, middle and largest of some rounds."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value."""
        return cls(least=min(values), median=statistics.median(values), most=max(values))

    def __str__(self) -> str:
        return f"{shown(self.median)} ({shown(self.least)} to {shown(self.most)})"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """
    One figure of a run.

    `value` and `sides` are medians over the rounds; a ratio is the median of the rounds' own ratios, because noise that hits a
    round hits both its sides. `targets` are the ratios, or the value itself under "", that are aimed at.
    """

    name: str
    unit: str
    value: float
    spread: Spread
    rounds: int
    sides: dict[str, Spread] = field(default_factory=dict)
    ratios: dict[str, Spread] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    most: float | None = None
    """What the value should not be above; None: nobody says."""
    sizes: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def missed(self) -> list[str]:
        """Targets that were not met, in words."""
        found = []
        for side, target in self.targets.items():
            got = self.value if side == "" else self.ratios[side].median
            if got < target:
                found.append(f"{self.name}{f' / {side}' if side else ''}: {shown(got)} of {shown(target)}")
        if self.most is not None and self.value > self.most:
            found.append(f"{self.name}: {shown(self.value)}, at most {shown(self.most)}")
        return found


def compare(
    name: str,
    ours: Sequence[float],
    *,
    unit: str,
    others: Mapping[str, Sequence[float]] | None = None,
    targets: Mapping[str, float] | None = None,
    **more: Any,
) -> Figure:
    """A figure from rounds that belong together: the n-th value of every side comes from the n-th round."""
    others = others or {}
    if uneven := [side for side, values in others.items() if len(values) != len(ours)]:
        raise ValueError(f"{name}: {', '.join(uneven)} has not as many rounds as ours, {len(ours)}")
    ratios = {
        side: Spread.of([round(mine / other, RATIO_DIGITS) for mine, other in zip(ours, values, strict=True)])
        for side, values in others.items()
    }
    spread = Spread.of(ours)
    return Figure(
        name=name,
        unit=unit,
        value=spread.median,
        spread=spread,
        rounds=len(ours),
        sides={side: Spread.of(values) for side, values in others.items()},
        ratios=ratios,
        targets=dict(targets or {}),
        load=os.getloadavg(),
        **more,
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed (nearest rank)."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 1_000) // 1_000))
    return ordered[rank - 1]


def rate(samples: Sequence[tuple[float, int]], *, total: int, until: float = 0.95) -> float:
    """
    Records per second from (seconds, records done) samples: from the first progress to the first sample beyond `until`.

    The start of a process and the wait of a last, smaller commit are no part of it. Without two such samples, the whole
    time from the first sample on counts.
    """
    started = next((sample for sample in samples if sample[1] > 0), None)
    ended = next((sample for sample in samples if sample[1] >= until * total), None)
    if ended is None:
        raise ValueError(f"only {samples[-1][1] if samples else 0} of {total} records were seen done")
    if started is None or ended[0] <= started[0] or ended[1] - started[1] < total * until / 2:
        started = (samples[0][0], 0)
    return (ended[1] - started[1]) / (ended[0] - started[0])


def shown(value: float) -> str:
    """A number for people: thousands separated, decimals only where they say something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def lines(figure: Figure) -> list[str]:
    """The figure for people, with the load that it was measured under."""
    sizes = ", ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}" for name, value in figure.sizes.items()
    )
    load = " ".join(f"{value:.1f}" for value in figure.load)
    found = [f"{figure.name}: {figure.spread} {figure.unit}   [{figure.rounds} rounds, {sizes}; load {load}]"]
    width = max((len(side) for side in figure.sides), default=0)
    for side, spread in figure.sides.items():
        ratio, target = figure.ratios[side], figure.targets.get(side)
        aim = "" if target is None else f", aim {target}: {'met' if ratio.median >= target else 'MISSED'}"
        wrong = f", WRONG: {figure.wrong[side]}" if side in figure.wrong else ""
        found.append(f"  {side:<{width}}  {spread}; ours is {ratio} of it{aim}{wrong}")
    if (target := figure.targets.get("")) is not None:
        found.append(f"  aim {shown(target)}: {'met' if figure.value >= target else 'MISSED'}")
    if figure.most is not None:
        found.append(f"  aim at most {shown(figure.most)}: {'met' if figure.value <= figure.most else 'MISSED'}")
    for name, value in figure.details.items():
        found.append(f"  {name}: {value}")
    return found


def save(figures: Sequence[Figure], path: Path = LATEST) -> None:
    """One object a figure; the file is replaced whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    common = {"commit": _commit(), "measured": now, "cpus": os.cpu_count()}
    beside = path.with_suffix(".part")
    beside.write_text(
        json.dumps([{**asdict(figure), **common} for figure in figures], indent=1) + "\n", encoding="utf-8"
    )
    beside.replace(path)


def _commit() -> str:
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"
