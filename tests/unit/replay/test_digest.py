"""The hash tree against Certificate Transparency's vectors and against RFC 6962's definition read literally."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.replay import Tree, leaf_hash
from streams.replay.digest import Digest, day_of, digests, tenant_of

# The reference implementation's own test data (certificate-transparency, merkle tree tests): leaves, and the root of the first n.
LEAVES = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    bytes.fromhex("5051525354555657"),
    bytes.fromhex("606162636465666768696a6b6c6d6e6f"),
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_the_book(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written there: split at the largest power of two below n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while 2 * split < len(leaves):
        split *= 2
    return sha256(b"\x01" + by_the_book(leaves[:split]) + by_the_book(leaves[split:])).digest()


def root(leaves: list[bytes]) -> bytes:
    """Ours."""
    tree = Tree()
    for leaf in leaves:
        tree.add(leaf_hash(leaf))
    assert tree.leaves == len(leaves)
    return tree.root()


@pytest.mark.parametrize("count", range(len(ROOTS)))
def test_roots_are_those_of_certificate_transparency(count):
    """The first n leaves of the reference data have the reference's root, for n from 0 to 8."""
    assert root(LEAVES[:count]).hex() == ROOTS[count]


@given(st.lists(st.binary(max_size=40), max_size=70))
def test_any_tree_is_as_the_rfc_defines_it(leaves):
    """A tree that grows leaf by leaf has the root of the recursive definition."""
    assert root(leaves) == by_the_book(leaves)


@given(st.lists(st.binary(max_size=8), min_size=2, max_size=20), st.data())
def test_any_change_changes_the_root(leaves, data):
    """Another byte, one leaf fewer, a leaf twice, or two swapped: another root."""
    place = data.draw(st.integers(0, len(leaves) - 1))
    before, changed = root(leaves), list(leaves)
    changed[place] += b"x"
    assert root(changed) != before
    assert root(leaves[:place] + leaves[place + 1 :]) != before
    assert root([*leaves[:place], leaves[place], *leaves[place:]]) != before
    swapped = list(leaves)
    swapped[0], swapped[place] = swapped[place], swapped[0]
    assert (root(swapped) == before) == (leaves[0] == leaves[place])


def test_a_node_can_not_pass_for_a_leaf():
    """Leaf and node hashes begin with different bytes, so a leaf made of two hashes has another root than their node."""
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert root([left + right]) != root([b"a", b"b"])


def test_tenant_and_day_are_read_from_key_and_timestamp():
    """The tenant stands before the key's first slash; the day is UTC, and ends with its last millisecond."""
    assert tenant_of(b"acme/pi_1") == "acme"
    assert tenant_of(b"acme/northpay/EUR") == "acme"
    assert tenant_of(None) == ""
    assert day_of(1_790_035_199_999) == "2026-09-21"
    assert day_of(1_790_035_200_000) == "2026-09-22"
    assert day_of(-1) == "1969-12-31"
    assert day_of(10**18).startswith("epoch+")


def test_each_tenant_day_has_a_tree_of_its_own():
    """Leaves of several tenants and days, mixed, come apart in their order."""
    one, two = ("acme", "2026-09-21"), ("globex", "2026-09-21")
    mixed = [(one, leaf_hash(b"1")), (two, leaf_hash(b"2")), (one, leaf_hash(b"3"))]
    assert list(digests(mixed)) == [
        Digest("acme", "2026-09-21", 2, by_the_book([b"1", b"3"]).hex()),
        Digest("globex", "2026-09-21", 1, by_the_book([b"2"]).hex()),
    ]
