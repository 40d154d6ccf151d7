"""What must not be found where a run writes: values that a test plants, secrets that it is answered, and what only looks like one.

Three nets, each finer than the one before: values of the run in full, any eight neighbouring characters of a secret, and the
forms that secrets have (keys, tokens, cookies, card numbers), whoever made them.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

WINDOW_CHARS = 8
"""Of a secret, so many neighbouring characters are a leak."""
HEX_WINDOW_CHARS = 12
"""Of a hexadecimal one more: ids are hexadecimal too, and eight characters of two of them meet by chance."""
LINE_SHOWN_CHARS = 160

_HEX = re.compile(r"[0-9a-f]+")
_PREFIX = re.compile(r"(?:sk|rk|pk)_(?:org_)?(?:test|live)_|whsec_|[a-z]+_[0-9a-zA-Z]+_secret_|ck_")
_CARD = re.compile(r"(?<![0-9A-Za-z_.-])[2-6][0-9](?:[ -]?[0-9]){11,17}(?![0-9A-Za-z_-])")
_FORMS = {
    "an API key": re.compile(r"\b(?:sk|rk|pk)_(?:org_)?(?:test|live)_[0-9a-zA-Z]{8,}"),
    "a webhook secret": re.compile(r"\bwhsec_[0-9a-zA-Z]{8,}"),
    "a client secret": re.compile(r"_secret_[0-9a-zA-Z]{8,}"),
    "an Authorization header": re.compile(r"\b(?:Bearer|Basic)[ :]+[0-9a-zA-Z._~+/=-]{8,}"),
    "a JSON web token": re.compile(r"\beyJ[0-9a-zA-Z_-]{10,}\."),
    "a cookie": re.compile(r"\bclearline_(?:session|sign_in)=[^;\s]{8,}"),
    "an e-mail address": re.compile(r"[0-9a-zA-Z._+-]+@[0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*\.[a-zA-Z]{2,}\b"),
    "user and password of an address": re.compile(r"://(?!user:password@)[^/\s:@\"']+:[^/\s@\"']{3,}@"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
}
_NEVER_KEPT = frozenset(
    ("an API key", "a webhook secret", "a client secret", "a JSON web token", "a cookie", "a private key")
)


@dataclass(frozen=True)
class Leak:
    """Something that was found; the text is masked."""

    where: str
    line: int
    kind: str
    shown: str

    def __str__(self) -> str:
        return f"{self.where}:{self.line}: {self.kind}: {self.shown}"


class Planted:
    """Everything that a run has to keep to itself."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        """Markers, which are alphanumeric and so survive every encoding of a request, with what they stand for."""
        self.cards: list[str] = []
        self.secrets: list[tuple[str, str]] = []
        self._windows: dict[int, dict[str, str]] = {WINDOW_CHARS: {}, HEX_WINDOW_CHARS: {}}

    def marker(self, kind: str) -> str:
        """A new value of that kind that stands nowhere else: alphanumeric, lower case."""
        made = f"zq{secrets.token_hex(7)}"
        self.kinds[made] = kind
        return made

    def card(self, prefix: str) -> str:
        """A new card number of sixteen digits."""
        body = prefix + "".join(str(secrets.randbelow(10)) for _ in range(15 - len(prefix)))
        made = next(body + str(last) for last in range(10) if luhn(body + str(last)))
        self.cards.append(made)
        return made

    def secret(self, kind: str, text: str) -> str:
        """Take a secret that exists; what keys and the like begin with is no secret."""
        assert len(text) >= HEX_WINDOW_CHARS, f"{kind} is too short to be told from chance"
        found = _PREFIX.match(text)
        body = text[found.end() :] if found else text
        self.secrets.append((kind, body))
        chars = HEX_WINDOW_CHARS if _HEX.fullmatch(body) else WINDOW_CHARS
        for start in range(len(body) - chars + 1):
            self._windows[chars][body[start : start + chars]] = kind
        if found:  # as HTTP's Basic scheme sends it; the first bytes are those of every key
            encoded = base64.b64encode(f"{text}:".encode()).decode().rstrip("=")
            for start in range(12, len(encoded) - WINDOW_CHARS + 1):
                self._windows[WINDOW_CHARS][encoded[start : start + WINDOW_CHARS]] = f"{kind}, in base64"
        return text

    def answered(self, value: object) -> None:
        """Take every secret that stands in an answer of the API."""
        if isinstance(value, dict):
            for name, one in value.items():
                if name in ("secret", "client_secret") and isinstance(one, str):
                    self.secret(f"{name} of {value.get('object', 'an answer')}", one)
                else:
                    self.answered(one)
        elif isinstance(value, list):
            for one in value:
                self.answered(one)

    def leaks(self, where: str, text: str, *, kept: bool = False) -> Iterator[Leak]:
        """What stands in a text that must not; `kept`: where what was said is kept, and only secrets and cards must not be."""
        for number, line in enumerate(text.splitlines(), 1):
            for kind, start, end in self._found(line, kept=kept):
                yield Leak(where, number, kind, masked(line, start, end))

    def _found(self, line: str, *, kept: bool) -> Iterator[tuple[str, int, int]]:
        lower = "" if kept else line.lower()
        for marker, kind in self.kinds.items():
            if (start := lower.find(marker)) >= 0:
                yield kind, start, start + len(marker)
        for card in self.cards:
            if found := re.search(r"[ .-]?".join(card), line):
                yield "a card number", *found.span()
        for chars, windows in self._windows.items():
            start = next((at for at in range(len(line) - chars + 1) if line[at : at + chars] in windows), None)
            if start is not None:
                end = start + 1
                while line[end : end + chars] in windows:
                    end += 1
                yield windows[line[start : start + chars]], start, end + chars - 1
        yield from _looks(line, kept=kept)


def _looks(line: str, *, kept: bool) -> Iterator[tuple[str, int, int]]:
    for kind, form in _FORMS.items():
        if (not kept or kind in _NEVER_KEPT) and (found := form.search(line)):
            yield f"what looks like {kind}", *found.span()
    for found in _CARD.finditer(line):
        if luhn(re.sub(r"[ -]", "", found.group())):
            yield "what looks like a card number", *found.span()


def luhn(digits: str) -> bool:
    """Whether a number passes the check that card numbers pass."""
    doubled = (sum(divmod(int(one) * 2, 10)) for one in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


def masked(line: str, start: int, end: int) -> str:
    """The line around what was found, without it."""
    before = line[max(start - LINE_SHOWN_CHARS // 2, 0) : start]
    return f"{before}<{end - start} characters>{line[end : end + LINE_SHOWN_CHARS // 2]}"


def told(leaks: Iterable[Leak], *, most_each: int = 2) -> str:
    """For a failed test: of each kind in each place the first ones, and how many there are."""
    found: dict[tuple[str, str], list[Leak]] = defaultdict(list)
    for leak in leaks:
        found[re.sub(r"[0-9]+", "N", leak.where), leak.kind].append(leak)
    return "\n".join(f"{leak} (one of {len(alike)})" for alike in found.values() for leak in alike[:most_each])
