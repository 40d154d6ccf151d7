from __future__ import annotations

import base64
import hashlib
import re
import subprocess
from html.parser import HTMLParser

import pytest

from api.http import catalogue, versions
from api.openapi import page
from tests import browser

VOID = {"meta", "input", "br"}


class Read(HTMLParser):
    """The page as a browser takes it: ids, links, elements that were closed in order, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.inside: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        given = dict(attrs)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        elif "href" in given or "src" in given:
            self.fetched.append(tag)
        assert not any(name.startswith("on") for name in given), "the policy runs no script of attributes"
        assert "style" not in given, "nor styles"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open:
            self.inside[self.open[-1]] = self.inside.get(self.open[-1], "") + data


@pytest.mark.parametrize("version", versions.LIVE)
def test_the_page_holds_everything_and_fetches_nothing(version) -> None:
    """Every operation and object has its place, every link within leads to one, and nothing comes from elsewhere."""
    found = Read(page.html(version).decode())
    assert found.open == []
    assert found.fetched == []
    assert len(set(found.ids)) == len(found.ids)
    assert {one.id for one in catalogue.operations()} <= set(found.ids)
    assert {f"object-{name}" for name in catalogue.objects()} <= set(found.ids)
    assert {link[1:] for link in found.links if link.startswith("#")} <= set(found.ids)
    others = {link for link in found.links if not link.startswith("#")}
    assert others == {
        f"/v1/openapi/{version}.json",
        *(f"/reference/{one}" for one in versions.LIVE if one != version),
    }


def test_its_policy_allows_its_own_style_and_script_only() -> None:
    """The hashes of the policy are those of what stands in the page."""
    inside = Read(page.html(versions.NEWEST).decode()).inside
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in page.POLICY
    assert "default-src 'none'" in page.POLICY


def test_what_has_a_meaning_in_html_is_escaped() -> None:
    """A text of a document can't become an element."""
    assert page._marked("a `<b>` & <script>") == "a <code>&lt;b&gt;</code> &amp; &lt;script&gt;"


def test_its_search_works_in_a_browser(tmp_path) -> None:
    """In a real Chromium, under the page's own policy, a word leaves only what it fits, in the text and in the list."""
    program = browser.find()
    if program is None:
        pytest.skip(browser.MISSING)
    text = page.html(versions.NEWEST).decode()
    # What a person would type; the policy of this copy allows these lines as well.
    typed = 'search.value = "increment_authorization"; search.dispatchEvent(new Event("input"));'
    policy = page.POLICY.replace("script-src", f"script-src {page._hash(typed)}").replace(
        "; frame-ancestors 'none'", ""
    )
    text = text.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{policy}">')
    (tmp_path / "page.html").write_text(text.replace("</body>", f"<script>{typed}</script></body>"), encoding="utf-8")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{tmp_path}/page.html"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    sections = [tag for tag in re.findall("<section [^>]*>", shown) if "hidden" not in tag]
    links = [tag for tag in re.findall("<li data-of[^>]*>", shown) if "hidden" not in tag]
    assert [part.count("PostPaymentIntentsIntentIncrementAuthorization") for part in (*sections, *links)] == [1, 1]
