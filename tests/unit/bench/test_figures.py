from __future__ import annotations

import json

import pytest

from tests.bench.figures import Spread, compare, lines, percentile, rate, save, shown


def test_ratio_is_the_median_of_the_rounds_own_ratios():
    """A round that was slow for both sides does not change the ratio, as the ratio of the medians would."""
    figure = compare("engine", [100, 10, 90], unit="records/s", others={"quix": [50, 5, 10]})
    assert figure.value == 90
    assert figure.sides["quix"] == Spread(least=5, median=10, most=50)
    assert figure.ratios["quix"] == Spread(least=2.0, median=2.0, most=9.0)


def test_rounds_must_belong_together():
    """A side that has not one value a round can't be compared."""
    with pytest.raises(ValueError, match="quix has not as many rounds"):
        compare("engine", [1.0, 2.0], unit="records/s", others={"quix": [1.0]})


def test_missed_targets_are_named():
    """A ratio below its aim and a value below its own are both missed; what is met is not named."""
    figure = compare(
        "engine", [100.0], unit="records/s", others={"a": [50.0], "b": [200.0]}, targets={"a": 2.0, "b": 0.8, "": 101}
    )
    assert figure.missed() == ["engine / b: 0.50 of 0.80", "engine: 100 of 101"]
    text = "\n".join(lines(figure))
    assert text.count("MISSED") == 2
    assert "aim 2.0: met" in text


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)], ids=["p50", "p99", "p100", "p0.1"]
)
def test_percentile_is_the_nearest_rank(share, expected):
    """Of the numbers 1 to 100, p50 is 50 and p99 is 99."""
    assert percentile(list(range(100, 0, -1)), share) == expected


def test_rate_leaves_out_the_start_and_the_last_commit():
    """A second before the first progress and a late last commit are not counted."""
    samples = [(0.0, 0), (1.0, 100), (2.0, 600), (2.8, 1000), (9.0, 1010)]
    assert rate(samples, total=1010) == pytest.approx(900 / 1.8)


def test_rate_counts_from_the_beginning_when_progress_came_at_once():
    """When the first progress seen is most of it already, the whole time counts rather than next to nothing."""
    assert rate([(0.5, 0), (2.5, 1000)], total=1000) == pytest.approx(500)


def test_rate_of_an_unfinished_run_is_refused():
    """A run that did not come to its end has no rate."""
    with pytest.raises(ValueError, match="only 10 of 1000"):
        rate([(0.0, 0), (1.0, 10)], total=1000)


def test_saved_figures_hold_everything_that_a_comparison_needs(tmp_path):
    """The file has an object a figure: value, unit, other sides, ratios, load and commit."""
    path = tmp_path / "bench" / "latest.json"
    save([compare("engine", [100.0], unit="records/s", others={"quix": [40.0]}, sizes={"records": 10})], path)
    (found,) = json.loads(path.read_text())
    assert (found["name"], found["value"], found["unit"]) == ("engine", 100.0, "records/s")
    assert found["sides"]["quix"]["median"] == 40.0
    assert found["ratios"]["quix"]["median"] == 2.5
    assert found["sizes"] == {"records": 10}
    assert len(found["load"]) == 3
    assert found["commit"]


@pytest.mark.parametrize(("value", "text"), [(123456.7, "123,457"), (12.34, "12.3"), (0.456, "0.46")])
def test_numbers_are_shown_with_what_they_say(value, text):
    """Large numbers have no decimals, small ones two."""
    assert shown(value) == text


def test_what_should_not_be_above_is_missed_above() -> None:
    """A time has a ceiling rather than a floor, and its line says whether it was met."""
    slow, quick = (compare("p99", [value], unit="ms", most=100.0) for value in (120.0, 80.0))
    assert slow.missed() == ["p99: 120, at most 100"]
    assert quick.missed() == []
    assert any("MISSED" in line for line in lines(slow))
    assert any("met" in line for line in lines(quick))
