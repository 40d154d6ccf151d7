from __future__ import annotations

import msgspec
import pytest

from infra import _configuration_file as module
from infra._configuration_file import read_file
from infra.configure import DEFAULTS
from infra.demo import intents
from infra.errors import FileFault

TENANT = {"tenant": "acme", "name": "Acme", "timezone": "Europe/Berlin", "settlement_cutoff": "00:00"}
POLICY = {"providers": ["northpay"]}


def write(tmp_path, *tenants, policies=(), **more):
    """A YAML file (of which JSON is a part)."""
    path = tmp_path / "tenants.yaml"
    path.write_bytes(msgspec.json.encode({"tenants": tenants, "policies": policies, **more}))
    return path


def test_the_shipped_file_is_right() -> None:
    """infra/defaults.toml has the demo's tenants, a default policy, and one tenant that prefers the other provider."""
    configuration = read_file(DEFAULTS)
    assert {tenant.tenant for tenant in configuration.tenants} == set(intents._TENANTS)
    assert {policy.tenant: policy.providers for policy in configuration.policies} == {
        "": ("northpay", "southpay"),
        "globex": ("southpay", "northpay"),
    }


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"tenant": ""}, "tenant", "is no tenant id"),
        ({"tenant": "Acme"}, "tenant", "is no tenant id"),
        ({"tenant": "a/b"}, "tenant", "is no tenant id"),
        ({"tenant": "a" * 65}, "tenant", "is no tenant id"),
        ({"tenant": "acme\n"}, "tenant", "is no tenant id"),
        ({"name": ""}, "name", "is empty or too long"),
        ({"timezone": "Europe/Atlantis"}, "timezone", "is no time zone"),
        ({"timezone": "../../etc/passwd"}, "timezone", "is no time zone"),
        ({"timezone": "Europe"}, "timezone", "is no time zone"),
        ({"timezone": ""}, "timezone", "is no time zone"),
        ({"settlement_cutoff": "24:00"}, "settlement_cutoff", "is no time of day"),
        ({"settlement_cutoff": "7:00"}, "settlement_cutoff", "is no time of day"),
        ({"settlement_cutoff": "12:60"}, "settlement_cutoff", "is no time of day"),
        ({"settlement_interval_ms": 1}, "settlement_interval_ms", "out of range"),
        ({"settlement_interval_ms": -1}, "settlement_interval_ms", "out of range"),
        ({"settlement_interval_ms": 10**12}, "settlement_interval_ms", "out of range"),
        ({"settlement_grace_ms": -1}, "settlement_grace_ms", "out of range"),
        ({"settlement_grace_ms": 10**12}, "settlement_grace_ms", "out of range"),
        ({"status": "unrecognized"}, "status", "is for readers"),
        ({"status": "closed"}, "status", "Invalid enum value"),
        ({"settlement_grace_ms": 1.5}, "settlement_grace_ms", "Expected `int`"),
        ({"settlement_grace_ms": "1"}, "settlement_grace_ms", "Expected `int`"),
        ({"currency": "EUR"}, "", "unknown field `currency`"),
    ],
)
def test_a_wrong_tenant_is_named_with_its_place(tmp_path, fields, place, reason) -> None:
    """Each wrong field is a `FileFault` that names file, place and reason, and says what to do."""
    with pytest.raises(FileFault) as caught:
        read_file(write(tmp_path, {**TENANT, "tenant": "other"}, {**TENANT, **fields}))
    assert caught.value.place == f"tenants[1]{'.' if place else ''}{place}"
    assert reason in caught.value.reason
    assert caught.value.remedy
    assert str(tmp_path / "tenants.yaml") in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "place", "reason"),
    [
        ({"reserve_basis_points": 1_000}, "reserve_days", "A reserve is kept 1 to 366 days"),
        ({"reserve_basis_points": 10_001, "reserve_days": 1}, "reserve_basis_points", "0 to 10000"),
        ({"settlement_currency": "usd"}, "settlement_currency", "active ISO 4217 code"),
        ({"capture_days": 32}, "capture_days", "1 to 31 days"),
        ({"action_hours": 0}, "action_hours", "1 to 744 hours"),
        ({"fees": [{"currency": "EURO"}]}, "fees.currency", "active ISO 4217 code"),
        ({"capture_rules": [{"days": 0}]}, "capture_days", "1 to 31 days"),
    ],
)
def test_terms_are_checked_as_the_folds_check_them(tmp_path, fields, place, reason) -> None:
    """What a fold would refuse is refused in the file, with its place."""
    with pytest.raises(FileFault) as caught:
        read_file(write(tmp_path, {**TENANT, "tenant": "other"}, {**TENANT, **fields}))
    assert caught.value.place == f"tenants[1].{place}"
    assert reason in caught.value.reason


def test_every_term_of_a_tenant_can_be_given(tmp_path) -> None:
    """All that a tenant's record has but what is given at its sending; a misspelt part of a rule is refused."""
    terms = {
        "fees": [
            {
                "payment_method": "pm_card_amex",
                "currency": "EUR",
                "basis_points": 350,
                "fixed_minor": 30,
                "dispute_minor": 1500,
            }
        ],
        "refund_fees_returned": True,
        "capture_days": 5,
        "capture_rules": [{"payment_method": "pm_card_amex", "days": 3}],
        "action_hours": 2,
        "available_delay_ms": 1_000,
        "reserve_basis_points": 500,
        "reserve_days": 30,
        "settlement_currency": "USD",
        "payout_schedule": "automatic",
        "payout_delay_ms": 60_000,
    }
    (tenant,) = read_file(write(tmp_path, {**TENANT, **terms})).tenants
    given = {field: getattr(tenant, field) for field in terms}
    assert msgspec.json.decode(msgspec.json.encode(given)) == terms
    later = {"version", "attribution", "api_version", "organization", "created_ms", "livemode"}
    assert set(tenant.__struct_fields__) - later == {
        *TENANT,
        *terms,
        "status",
        "settlement_interval_ms",
        "settlement_grace_ms",
    }
    with pytest.raises(FileFault, match="unknown field `basis_point`"):
        read_file(write(tmp_path, {**TENANT, "fees": [{"basis_point": 1}]}))


@pytest.mark.parametrize(
    ("policies", "place", "reason"),
    [
        ([POLICY, POLICY], "policies[1].tenant", "two default policies"),
        ([{**POLICY, "tenant": "acme"}, {**POLICY, "tenant": "acme"}], "policies[1].tenant", "'acme' has two policies"),
        ([{**POLICY, "tenant": "nobody"}], "policies[0].tenant", "'nobody' is no tenant of this file"),
        ([{"providers": []}], "policies[0].providers", "0 providers"),
        ([{"providers": ["a", "a"]}], "policies[0].providers", "one is there twice"),
        ([{"providers": ["North Pay"]}], "policies[0].providers", "is no provider's name"),
        ([{"providers": "northpay"}], "policies[0].providers", "Expected `array`"),
        ([{}], "policies[0]", "missing required field `providers`"),
    ],
)
def test_a_wrong_policy_is_named_with_its_place(tmp_path, policies, place, reason) -> None:
    """Each wrong policy is a `FileFault` with its place."""
    with pytest.raises(FileFault) as caught:
        read_file(write(tmp_path, TENANT, policies=policies))
    assert caught.value.place == place
    assert reason in caught.value.reason


def test_a_tenant_is_there_once(tmp_path) -> None:
    """Two tenants of one id are refused."""
    with pytest.raises(FileFault, match=r"tenants\[1\].tenant: 'acme' is there twice"):
        read_file(write(tmp_path, TENANT, TENANT))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.toml", b"[[tenants]", "Expected"),
        ("a.toml", b"\xff\xfe", "can't decode"),
        ("a.yaml", b"tenants: [", "while parsing"),
        ("a.yaml", b"- 1", "Expected `object`"),
        ("a.ini", b"", ".ini is not known"),
        ("a", b"", "no suffix is not known"),
        ("a.toml", b"", "neither tenants nor policies"),
        ("a.toml", b"typo = 1", "unknown field `typo`"),
        ("a.toml", b" " * (module.FILE_BYTES_MAX + 1), "larger than"),
        ("missing/a.toml", None, "No such file"),
    ],
)
def test_an_unreadable_file_is_refused(tmp_path, name, content, reason) -> None:
    """What is no TOML or YAML, too large or not there is a `FileFault`."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFault) as caught:
        read_file(path)
    assert reason in caught.value.reason
    assert caught.value.remedy
