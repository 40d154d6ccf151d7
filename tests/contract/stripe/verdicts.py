"""
What our test suite asks, and whether we and stripe-mock take it.

`CLEARLINE_REQUESTS=FILE make integration`, then `python -m tests.contract.stripe.verdicts FILE`: writes requests.json with each different
request once, our verdict and stripe-mock's, and docs/api-differences.md. stripe-mock is `STRIPE_MOCK`, or on the path.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.supervisor import free_ports
from tests.contract.stripe.make import SHARED
from tests.contract.stripe.reasons import REASONS
from tests.integration.api._answers import operation_of

REQUESTS = Path(__file__).parent / "requests.json"
DIFFERENCES = Path(__file__).resolve().parents[3] / "docs" / "api-differences.md"
STARTS_S = 60.0
_ID = re.compile(r"\b(pi|ch|re|dp|txn|evt|cus|pm|seti|we|po|key|req)_[0-9a-f]{16,}")
_OTHERS = (
    (re.compile(r"[0-9a-f]{32}"), "0" * 32),
    (re.compile(r"\b1[0-9]{9}\b"), "1790000000"),
    (re.compile(r"(?<=_secret_)[a-z0-9]+"), "1"),
    (re.compile(r"(?<=127\.0\.0\.1:)[0-9]+"), "1"),
    (re.compile(r"(?<=\bexample\.com/)[0-9]+"), "1"),
    (re.compile(r"(?<=\bnobody-)[0-9a-f]{8}"), "00000000"),
    (re.compile(r"^WyI[\w-]{20,}$"), "WyIx"),
)
"""What differs from run to run, or from one to the next, and means the same: names, times, secrets, ports, pages of searches."""

Request = dict[str, Any]


def refused(status: int, code: str) -> bool:
    """Whether the request itself was refused, rather than what it met: a state, a decline, an id that is none."""
    return status == 400 and (
        code.startswith("parameter_")
        or code in ("card_number_refused", "card_data_refused", "request_unreadable", "secret_refused")
    )


def collected(lines: Iterable[str]) -> list[Request]:
    """Each different request once, with ids and times that are always the same."""
    found: dict[str, Request] = {}
    for line in lines:
        told = json.loads(line)
        operation = operation_of(told["method"], told["path"])
        if operation is None or operation.object not in SHARED or told["status"] in (401, 403, 429, 503):
            continue
        if told["code"] in ("invalid_api_version", "idempotency_key_in_use"):
            continue
        pairs = urllib.parse.parse_qsl(told["sent"], keep_blank_values=True)
        one = {
            "method": told["method"],
            "path": _plain(told["path"]),
            "operation": operation.id,
            "sent": sorted([name, _plain(value)] for name, value in pairs),
            "version": told["version"],
            "ours": "refused" if refused(told["status"], told["code"]) else "taken",
            "code": told["code"] if refused(told["status"], told["code"]) else "",
        }
        found[json.dumps([one["method"], one["path"], one["sent"], one["version"]])] = one
    return [found[name] for name in sorted(found)]


def _plain(text: str) -> str:
    named = _ID.sub(lambda match: f"{match[1]}_{'0' * 23}1", text)
    for wild, tame in _OTHERS:
        named = wild.sub(tame, named)
    return named


@contextmanager
def stripe_mock() -> Iterator[str]:
    """Its address; empty where there is none."""
    program = os.environ.get("STRIPE_MOCK") or shutil.which("stripe-mock")
    if not program:
        yield ""
        return
    port, other = free_ports(2)
    command = [program, "-http-port", str(port), "-https-port", str(other)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + STARTS_S
        while True:
            try:
                if ask(url, {"method": "GET", "path": "/v1/balance", "sent": []}) == "taken":
                    break
            except urllib.error.URLError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(STARTS_S)


def ask(url: str, request: Mapping[str, Any]) -> str:
    """stripe-mock's verdict: taken, refused, or unknown where Stripe has no such path."""
    sent = urllib.parse.urlencode([(name, value) for name, value in request["sent"]])
    body = sent.encode() if request["method"] == "POST" else None
    query = f"?{sent}" if sent and body is None else ""
    asked = urllib.request.Request(
        url + urllib.parse.quote(request["path"]) + query,
        data=body,
        method=request["method"],
        headers={"Authorization": "Bearer sk_test_123", "Content-Type": "application/x-www-form-urlencoded"},
    )
    try:
        with urllib.request.urlopen(asked, timeout=STARTS_S):
            return "taken"
    except urllib.error.HTTPError as error:
        # It fails with 500 where it can't follow a path of `expand`.
        return {400: "refused", 404: "unknown", 500: "refused"}.get(error.code, f"status {error.code}")


def differing(requests: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those that one takes and the other does not."""
    return [one for one in requests if one["ours"] != one["stripe"]]


def reason(request: Mapping[str, Any]) -> str:
    """Why we differ; empty where nobody has said it."""
    for fits, why in REASONS:
        if fits(request):
            return why
    return ""


def page(requests: Iterable[Mapping[str, Any]]) -> str:
    """docs/api-differences.md."""
    rows = dict.fromkeys(
        (one["operation"], _shown(one), one["ours"], one["stripe"], reason(one)) for one in differing(requests)
    )
    text = "\n".join(f"| {' | '.join(row)} |" for row in sorted(rows))
    return f"""# Where we and Stripe differ in what we take

Of each request that the tests of the API make on resources that Stripe has as well, stripe-mock v0.203.0 was asked whether it takes it. It checks parameters
against Stripe's published schema (2026-08-26.dahlia) and nothing else. Where it and we agree, nothing stands here. Made by `python -m tests.contract.stripe.verdicts`;
a test holds it against the recorded verdicts, and asks stripe-mock anew where there is one.

| operation | sent | we | stripe-mock | why |
|---|---|---|---|---|
{text}
"""


def _shown(request: Mapping[str, Any]) -> str:
    sent = "&".join(f"{name}={value}" for name, value in request["sent"])
    return f"`{sent[:120]}{'…' if len(sent) > 120 else ''}`" if sent else ""


def write(requests: list[Request]) -> None:
    """Both files."""
    REQUESTS.write_text(json.dumps(requests, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    DIFFERENCES.write_text(page(requests), encoding="utf-8")


def recorded() -> list[Request]:
    """What was written."""
    found: list[Request] = json.loads(REQUESTS.read_text(encoding="utf-8"))
    return found


def main(arguments: list[str]) -> int:
    """0; 1 where there is no stripe-mock."""
    with stripe_mock() as url:
        if not url:
            print("there is no stripe-mock: set STRIPE_MOCK, or `go install github.com/stripe/stripe-mock@v0.203.0`")
            return 1
        requests = collected(Path(arguments[0]).read_text(encoding="utf-8").splitlines())
        for one in requests:
            one["stripe"] = ask(url, one)
    write(requests)
    for one in differing(requests):
        if not reason(one):
            print("nobody has said why:", json.dumps(one))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
