"""Faults come from seed, key and try number only."""

from __future__ import annotations

from collections import Counter

import pytest

from connectors.providers.simulator._behaviour import FLAKY, NO_FAULT, VERDICTS, Answer, fault_of_inquiry, fault_of_try


def test_a_seed_reproduces_every_fault():
    """The same seed, key and number give the same fault; another seed gives others."""
    faults = [[fault_of_try(FLAKY, seed=seed, key=f"k{key}", number=0) for key in range(50)] for seed in (1, 1, 2)]
    assert faults[0] == faults[1]
    assert faults[0] != faults[2]


def test_the_flaky_mix_has_every_kind_of_fault():
    """Lost answers before and after the effect, 5xx before and after it, late and garbled ones, and good ones."""
    faults = [fault_of_try(FLAKY, seed=7, key=f"k{key}", number=0) for key in range(2_000)]
    kinds = Counter((fault.answer, fault.effect) for fault in faults)
    assert set(kinds) == {
        (Answer.GIVEN, True),
        (Answer.DROPPED, False),
        (Answer.DROPPED, True),
        (Answer.ERROR_500, False),
        (Answer.ERROR_500, True),
        (Answer.GARBLED, True),
    }
    assert any(fault.wait_before_s for fault in faults)
    assert any(fault.wait_after_s for fault in faults)


def test_inquiries_of_flaky_operations_fail_too_but_not_for_ever():
    """Some inquiries are lost; every key has one that gets through within a few tries."""
    for key in range(200):
        assert NO_FAULT in [fault_of_inquiry(FLAKY, seed=3, key=f"k{key}", number=number) for number in range(12)]
    assert any(fault_of_inquiry(FLAKY, seed=3, key=f"k{key}", number=0) != NO_FAULT for key in range(200))


@pytest.mark.parametrize("method", sorted(name for name in VERDICTS if name.startswith("pm_card_")))
def test_card_methods_have_no_network_faults(method):
    """Stripe's own test methods decline or succeed, over a network that works."""
    assert fault_of_try(method, seed=1, key="k", number=0) is NO_FAULT
