"""What the gateway is told from outside."""

from __future__ import annotations

import pytest

from connectors.providers.errors import ConfigurationError
from connectors.providers.gateway._settings import gateway, providers


def test_without_settings_there_are_two_simulated_providers():
    """The embedded default needs nothing set."""
    assert sorted(providers({})) == ["northpay", "southpay"]
    assert gateway({}).timeout_s == 10.0
    assert gateway({"CLEARLINE_GATEWAY": '{"timeout_s": 2}'}).timeout_s == 2


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        "northpay",
        '{"a": {"kind": "simulated"}}',
        '{"a": {"kind": "real", "url": "http://x"}}',
        '{"a": {"kind": "simulated", "url": "ftp://x"}}',
        '{"a": {"kind": "simulated", "url": "http://x", "sekret": "hunter2"}}',
    ],
)
def test_unusable_providers_are_refused_with_an_example(text):
    """The error names the variable and shows a good value, and repeats none that may be secret."""
    with pytest.raises(ConfigurationError, match=r"CLEARLINE_PROVIDERS .*northpay") as raised:
        providers({"CLEARLINE_PROVIDERS": text})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ['{"timeout_s": 0}', '{"timeout_s": "1"}', '{"timeout": 1}', "7", '{"sends_max": 0}', '{"session_timeout_s": 1}'],
)
def test_unusable_settings_are_refused(text):
    """Out of range, of another type or unknown: refused, never ignored."""
    with pytest.raises(ConfigurationError, match="CLEARLINE_GATEWAY"):
        gateway({"CLEARLINE_GATEWAY": text})
