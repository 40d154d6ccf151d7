"""What the sender is told from outside."""

from __future__ import annotations

import pytest

from api.webhooks import _settings
from api.webhooks.errors import ConfigurationError


def test_nothing_set_is_three_days_and_no_loopback():
    """Without settings the promise is three days, and this machine is not called."""
    assert _settings.webhooks({}).schedule.promised_s == 3 * 86_400
    assert _settings.allow_loopback({}) is False
    assert _settings.allow_loopback({_settings.ALLOW_LOOPBACK: "1"}) is True


@pytest.mark.parametrize("text", ["{", "[]", '{"timeout_s": 0}', '{"timeouts": 1}', '{"schedule": {"first_s": -1}}'])
def test_what_is_not_a_setting_is_refused(text):
    """A typing error ends the start, with the variable's name."""
    with pytest.raises(ConfigurationError, match=_settings.WEBHOOKS):
        _settings.webhooks({_settings.WEBHOOKS: text})


def test_loopback_is_yes_or_no():
    """Anything but yes or no is refused rather than taken for one of them."""
    with pytest.raises(ConfigurationError, match=_settings.ALLOW_LOOPBACK):
        _settings.allow_loopback({_settings.ALLOW_LOOPBACK: "maybe"})
