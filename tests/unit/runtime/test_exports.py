"""The package's public face."""

from __future__ import annotations

from streams import runtime


def test_exports_are_sorted_and_real():
    """`__all__` names what is there, each once, in order."""
    assert runtime.__all__ == sorted(set(runtime.__all__), key=lambda name: (name.islower(), not name.isupper(), name))
    assert all(hasattr(runtime, name) for name in runtime.__all__)
