from __future__ import annotations

import copy

import pytest

from schemas import contracts, generate, lock, rules
from schemas.catalogue import CATALOGUE
from schemas.records import RECORDS

TENANT = contracts.latest()["Tenant"].schema


def test_the_committed_contracts_are_in_order() -> None:
    """Files, lock, versions, rules, compatibility and the generated records agree."""
    assert lock.check() == []


def test_records_py_is_up_to_date() -> None:
    """`records.py` is what the newest contracts give."""
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize(
    "contract", contracts.all_contracts(), ids=lambda contract: f"{contract.record}-{contract.version}"
)
def test_every_contract_keeps_the_rules(contract) -> None:
    """Every record, enum and field is documented; every field and enum has a default; money is a long named _minor."""
    assert rules.flaws(contract.schema) == []


def test_every_record_is_on_a_topic_and_every_topic_has_contracts() -> None:
    """The catalogue carries each contract's record somewhere, and nothing that has no contract."""
    carried = {kind.__name__ for topic in CATALOGUE for kind in topic.records}
    assert carried == set(contracts.latest()) == set(RECORDS)


def test_ids_and_topic_names_are_given_once() -> None:
    """No id is two schemas', no topic is in the catalogue twice."""
    ids = [entry.id for entry in lock.entries()]
    names = [topic.name for topic in CATALOGUE]
    assert len(set(ids)) == len(ids)
    assert len(set(names)) == len(names)
    assert all(0 < identity < 2**31 for identity in ids)


def _field(**field):
    return lambda schema: schema["fields"].append(
        {"name": "added", "type": "string", "default": "", "doc": "X.", **field}
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_field(doc=""), "Tenant.added has no doc"),
        (lambda schema: schema["fields"][0].pop("default"), "Tenant.tenant has no default"),
        (lambda schema: schema.pop("doc"), "the record Tenant has no doc"),
        (lambda schema: schema.update(namespace="other"), "namespace is not clearline"),
        (_field(type="double", default=0.0), "the type double is not used"),
        (_field(type="float", name="amount", default=0.0), "holds money"),
        (_field(type="long", name="fee", default=0), "holds money"),
        (_field(type=["null", "long"], name="gross_amount", default=None), "holds money"),
        (_field(type="int", name="fee_minor", default=0), "is not a long"),
        (_field(type="string", name="amount_minor"), "is not a long"),
        (_field(type="int", name="paid_ms", default=0), "is not a long"),
        (_field(type={"type": "long", "logicalType": "timestamp-millis"}, default=0), "write the type 'long' plainly"),
        (_field(type=["string", "null"]), "the only unions"),
        (_field(type=["null", "string", "long"], default=None), "the only unions"),
        (_field(type={"type": "array", "items": "double"}, default=[]), "the type double"),
        (_field(type={"type": "enum", "name": "E", "doc": "X.", "symbols": ["a"], "default": "a"}), "first symbol"),
        (_field(type={"type": "enum", "name": "E", "doc": "X.", "symbols": ["unrecognized"]}), "first symbol"),
        (
            _field(type={"type": "enum", "name": "E", "symbols": ["unrecognized"], "default": "unrecognized"}),
            "the enum E has no doc",
        ),
    ],
)
def test_each_broken_rule_is_found(change, why) -> None:
    """The check can fail: each rule, broken once, is reported with its place."""
    schema = copy.deepcopy(TENANT)
    change(schema)
    assert any(why in flaw for flaw in rules.flaws(schema)), rules.flaws(schema)
