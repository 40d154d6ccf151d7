"""Endpoints that are dead."""

from __future__ import annotations

import json

from api.webhooks import notices
from schemas import codec
from schemas.records import SealedSecret, WebhookEndpoint

SEALED = SealedSecret(sealed=b"sealed", master_key_id="mk_1")


def endpoint(name, *events, status="enabled"):
    """One of acme's."""
    return WebhookEndpoint(
        endpoint_id=name, tenant="acme", status=status, enabled_events=events, secrets=(SEALED,), version=3
    )


def test_others_that_want_to_hear_are_told():
    """The endpoint is disabled with the reason; every other enabled endpoint that asked for it is told, without secrets; once for each version."""
    all_of_them = {
        one.endpoint_id: one
        for one in (
            endpoint("we_dead", "*"),
            endpoint("we_all", "*"),
            endpoint("we_named", notices.DISABLED),
            endpoint("we_refunds", "refund.created"),
            endpoint("we_off", "*", status="disabled"),
        )
    }
    change = notices.disabled(all_of_them, "we_dead", reason="no answer", partition=2)
    [made] = change.endpoints
    assert (change.result, made.status, made.disabled_reason, made.version) == (True, "disabled", "no answer", 4)
    assert {(partition, one.endpoint_id) for partition, one in change.deliveries} == {(2, "we_all"), (2, "we_named")}
    [event_id] = {one.event_id for _, one in change.deliveries}
    for _, one in change.deliveries:
        told = codec.decode(one.event)
        assert told.secrets == ()
        body = json.loads(notices.body(told, one, livemode=False))
        assert (body["id"], body["type"]) == (event_id, "webhook_endpoint.disabled")
        assert body["data"]["object"]["id"] == "we_dead"
        assert body["data"]["object"]["clearline"]["disabled_reason"] == "no answer"


def test_what_is_not_enabled_is_left_alone():
    """An endpoint that was disabled or deleted meanwhile, or is not there, stays as it is, and nobody is told."""
    for all_of_them in ({}, {"we_dead": endpoint("we_dead", "*", status="deleted")}):
        change = notices.disabled(all_of_them, "we_dead", reason="no answer", partition=0)
        assert (change.result, change.endpoints, change.deliveries) == (False, (), ())
