"""The file of tenants and routing policies: read, checked field by field, made into records."""

from __future__ import annotations

import hashlib
import re
import tomllib
import zoneinfo
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from infra.errors import FileFault
from schemas.records import Attribution, CaptureRule, FeeRule, PayoutSchedule, RoutingPolicy, Tenant, TenantStatus
from streams.core import Refused
from streams.core.checks import check_tenant

FILE_ACTOR = "configuration"
"""Who tenants and policies are changed by when a file says how they are."""

FILE_BYTES_MAX = 4_000_000
TENANTS_MAX = 10_000
PROVIDERS_MAX = 32
NAME_CHARS_MAX = 200
INTERVAL_MS_MIN = 1_000
INTERVAL_MS_MAX = 31 * 86_400_000
GRACE_MS_MAX = 7 * 86_400_000

_ID = re.compile(r"[a-z0-9_-]{1,64}")
_CUTOFF = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
_SEE = "See infra/defaults.toml for an example with every field"


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says, as records whose versions are yet to be given."""

    tenants: tuple[Tenant, ...]
    policies: tuple[RoutingPolicy, ...]


class _FeeEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payment_method: str = ""
    currency: str = ""
    basis_points: int = 0
    fixed_minor: int = 0
    dispute_minor: int = 0


class _CaptureEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    payment_method: str = ""
    days: int


class _TenantEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenant: str
    name: str
    timezone: str
    settlement_cutoff: str
    settlement_interval_ms: int = 0
    settlement_grace_ms: int = 0
    status: TenantStatus = "active"
    fees: tuple[_FeeEntry, ...] = ()
    refund_fees_returned: bool = False
    capture_days: int = 7
    capture_rules: tuple[_CaptureEntry, ...] = ()
    action_hours: int = 24
    available_delay_ms: int = 0
    reserve_basis_points: int = 0
    reserve_days: int = 0
    settlement_currency: str = ""
    payout_schedule: PayoutSchedule = "manual"
    payout_delay_ms: int = 0


class _PolicyEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    providers: list[str]
    tenant: str = ""


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tenants: list[_TenantEntry] = []
    policies: list[_PolicyEntry] = []


class _Place(msgspec.Struct, frozen=True):
    """A place in a file, able to complain about itself."""

    path: str
    name: str

    def fault(self, field: str, reason: str, remedy: str) -> FileFault:
        return FileFault(self.path, f"{self.name}.{field}", reason, remedy=remedy)


def read_file(
    path: Path, *, settlement_interval_ms: int | None = None, settlement_grace_ms: int | None = None
) -> Configuration:
    """The checked content of a `.toml`, `.yaml` or `.yml` file; the two options replace every tenant's own.

    Raises `FileFault`.
    """
    content, text = _parsed(path)
    try:
        file = msgspec.convert(content, _File)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        raise FileFault(str(path), place.strip("`").removeprefix("$").lstrip("."), reason, remedy=_SEE) from error
    if not file.policies and not file.tenants:
        raise FileFault(str(path), "", "it names neither tenants nor policies", remedy=_SEE)
    overrides = {"settlement_interval_ms": settlement_interval_ms, "settlement_grace_ms": settlement_grace_ms}
    changes = {field: value for field, value in overrides.items() if value is not None}
    entries = [msgspec.structs.replace(entry, **changes) for entry in file.tenants]
    _check_tenants(str(path), entries)
    _check_policies(str(path), file.policies, {entry.tenant for entry in entries})
    configuration = _records(path, text, entries, file.policies)
    _check_terms(str(path), configuration.tenants)
    return configuration


def _parsed(path: Path) -> tuple[Any, bytes]:
    try:
        with path.open("rb") as source:
            text = source.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileFault(str(path), "", reason, remedy="Give the path of a readable TOML or YAML file") from error
    if len(text) > FILE_BYTES_MAX:
        raise FileFault(str(path), "", f"it is larger than {FILE_BYTES_MAX:,} bytes", remedy="Split it")
    try:
        match path.suffix.lower():
            case ".toml":
                return tomllib.loads(text.decode()), text
            case ".yaml" | ".yml":
                return msgspec.yaml.decode(text), text
    except (ValueError, ImportError) as error:  # both formats' errors and UnicodeDecodeError are ValueErrors
        raise FileFault(str(path), "", str(error), remedy="Mend its syntax") from error
    raise FileFault(str(path), "", f"{path.suffix or 'no suffix'} is not known", remedy="Name it .toml, .yaml or .yml")


def _check_tenants(path: str, entries: list[_TenantEntry]) -> None:
    if len(entries) > TENANTS_MAX:
        raise FileFault(path, "tenants", f"more than {TENANTS_MAX:,}", remedy="Split the file")
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        place = _Place(path, f"tenants[{number}]")
        if not _ID.fullmatch(entry.tenant):
            raise place.fault(
                "tenant", f"{entry.tenant!r} is no tenant id", "Use 1 to 64 characters of a-z, 0-9, _ and -"
            )
        if entry.tenant in seen:
            raise place.fault("tenant", f"{entry.tenant!r} is there twice", "Keep one of the two")
        seen.add(entry.tenant)
        _check_tenant(place, entry)


def _check_tenant(place: _Place, entry: _TenantEntry) -> None:
    if not 0 < len(entry.name) <= NAME_CHARS_MAX:
        raise place.fault("name", "it is empty or too long", f"Give 1 to {NAME_CHARS_MAX} characters")
    if entry.status == "unrecognized":
        raise place.fault("status", "'unrecognized' is for readers", "Use 'active' or 'suspended'")
    if not _is_zone(entry.timezone):
        reason = f"{entry.timezone!r} is no time zone"
        raise place.fault("timezone", reason, "Use an IANA name such as Europe/Berlin")
    if not _CUTOFF.fullmatch(entry.settlement_cutoff):
        reason = f"{entry.settlement_cutoff!r} is no time of day"
        raise place.fault("settlement_cutoff", reason, "Use HH:MM from 00:00 to 23:59, in the tenant's time zone")
    interval_ms = entry.settlement_interval_ms
    if interval_ms != 0 and not INTERVAL_MS_MIN <= interval_ms <= INTERVAL_MS_MAX:
        remedy = f"Use 0 for business days, or {INTERVAL_MS_MIN:,} to {INTERVAL_MS_MAX:,} ms"
        raise place.fault("settlement_interval_ms", f"{interval_ms} is out of range", remedy)
    if not 0 <= entry.settlement_grace_ms <= GRACE_MS_MAX:
        remedy = f"Use 0 to {GRACE_MS_MAX:,} ms"
        raise place.fault("settlement_grace_ms", f"{entry.settlement_grace_ms} is out of range", remedy)


def _check_terms(path: str, tenants: tuple[Tenant, ...]) -> None:
    """Fees, deadlines, reserve and settlement currency, by the very check that the folds make of a tenant."""
    for number, tenant in enumerate(tenants):
        try:
            check_tenant(tenant)
        except Refused as refused:
            raise _Place(path, f"tenants[{number}]").fault(refused.field, refused.message, _SEE) from refused


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (
        zoneinfo.ZoneInfoNotFoundError,
        ValueError,
        OSError,
    ):  # a name such as '../x' or 'Europe' is one of the latter
        return False
    return True


def _check_policies(path: str, entries: list[_PolicyEntry], tenants: set[str]) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        place = _Place(path, f"policies[{number}]")
        if entry.tenant in seen:
            reason = f"{entry.tenant!r} has two policies" if entry.tenant else "there are two default policies"
            raise place.fault("tenant", reason, "Keep one of the two")
        seen.add(entry.tenant)
        if entry.tenant and entry.tenant not in tenants:
            remedy = "Name a tenant of this file, or leave it out for the default policy"
            raise place.fault("tenant", f"{entry.tenant!r} is no tenant of this file", remedy)
        if not 0 < len(entry.providers) <= PROVIDERS_MAX:
            reason = f"{len(entry.providers)} providers"
            raise place.fault("providers", reason, f"Name 1 to {PROVIDERS_MAX}, in order of priority")
        if len(set(entry.providers)) != len(entry.providers):
            raise place.fault("providers", "one is there twice", "Name each provider once")
        for provider in entry.providers:
            if not _ID.fullmatch(provider):
                remedy = "Use 1 to 64 characters of a-z, 0-9, _ and -"
                raise place.fault("providers", f"{provider!r} is no provider's name", remedy)


def _records(
    path: Path, text: bytes, tenants: Iterable[_TenantEntry], policies: Iterable[_PolicyEntry]
) -> Configuration:
    attribution = Attribution(
        actor_kind="operator",
        actor_id=FILE_ACTOR,
        reason=f"configuration file {path.name}",
        request_id=f"cfg_{hashlib.sha256(text).hexdigest()[:24]}",
    )
    return Configuration(
        tenants=tuple(_tenant(entry, attribution) for entry in tenants),
        policies=tuple(
            RoutingPolicy(tenant=entry.tenant, providers=tuple(entry.providers), attribution=attribution)
            for entry in policies
        ),
    )


def _tenant(entry: _TenantEntry, attribution: Attribution) -> Tenant:
    fields = msgspec.structs.asdict(entry)
    fields["fees"] = tuple(FeeRule(**msgspec.structs.asdict(one)) for one in entry.fees)
    fields["capture_rules"] = tuple(CaptureRule(**msgspec.structs.asdict(one)) for one in entry.capture_rules)
    return Tenant(**fields, attribution=attribution)
