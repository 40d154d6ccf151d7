"""What looks like a secret, so that none gets anywhere: API keys, signing secrets of webhooks and client secrets, ours and others' of the same make.

| what | form |
|---|---|
| secret and restricted keys | `sk_` or `rk_`, perhaps `org_`, `test_` or `live_`, 16 letters and digits or more |
| webhooks' signing secrets | `whsec_` and 16 letters, digits, `+` or `/`, or more |
| client secrets | `pi_` or `seti_`, an id of 8 letters and digits or more, `_secret_`, 16 or more |

Publishable keys are no secret. A key within a word, such as behind an escape or a text's length in bytes, is one where it has 24
letters and digits or more, both kinds, and is not hexadecimal: so `task_live_` and an id is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SECRET = re.compile(
    r"""
      (?<![0-9A-Za-z]) (?:sk|rk)_(?:org_)?(?:test|live)_ [0-9A-Za-z]{16,}
    | (?:sk|rk)_(?:org_)?(?:test|live)_ (?=[A-Za-z]*[0-9]) (?=[0-9A-Fa-f]*[G-Zg-z]) [0-9A-Za-z]{24,}
    | whsec_ [0-9A-Za-z+/]{16,}
    | (?:pi|seti)_ [0-9A-Za-z]{8,} _secret_ [0-9A-Za-z]{16,}
    """,
    re.VERBOSE,
)


def spans(text: str) -> Iterable[tuple[int, int]]:
    """Where secrets stand in a text."""
    # Nearly every text has none of these, which is said in a tenth of the time.
    if "sk_" in text or "rk_" in text or "sec" in text:
        for found in _SECRET.finditer(text):
            yield found.span()


def has_secret(text: str) -> bool:
    """Whether something in the text looks like a secret."""
    return any(True for _ in spans(text))
