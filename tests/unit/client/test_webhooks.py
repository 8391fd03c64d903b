"""Webhooks: who has no right signature makes no event, and the same delivery is the same event."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

import raywf
from raywf.errors import InvalidInput, PermissionDenied

NOW = 1_700_000_000.0
BODY = json.dumps({"type": "order.created", "id": "o1", "amount": 5}).encode()
KEY = b"a secret of thirty-two bytes...."
SECRET = "whsec_" + base64.b64encode(KEY).decode()


def digest(signed: bytes, key: bytes = KEY) -> bytes:
    return hmac.new(key, signed, hashlib.sha256).digest()


def standard(body: bytes = BODY, at: float = NOW, id: str = "msg_1", key: bytes = KEY) -> dict[str, str]:
    signature = base64.b64encode(digest(f"{id}.{at:.0f}.".encode() + body, key)).decode()
    return {"Webhook-Id": id, "Webhook-Timestamp": f"{at:.0f}", "Webhook-Signature": f"v1a,xx v1,{signature}"}


def test_a_signed_request_is_an_event_with_the_id_of_its_delivery() -> None:
    hook = raywf.Webhook(SECRET, event="shop.{type}")
    assert hook.event(standard(), BODY, NOW) == ("shop.order.created", json.loads(BODY), "msg_1")


def test_the_example_of_the_specification_is_accepted() -> None:
    """Values that the Standard Webhooks specification's own libraries test with."""
    hook = raywf.Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", event="test")
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    found = hook.event(headers, b'{"test": 2432232314}', 1614265330.0)
    assert found == ("test", {"test": 2432232314}, "msg_p5jXN8AQM9LWM0D4loKWxJek")


def test_github_and_stripe_sign_in_their_own_way() -> None:
    github = raywf.Webhook("s3cret", event="github.{type}", scheme="github")
    headers = {
        "X-Hub-Signature-256": "sha256=" + digest(BODY, b"s3cret").hex(),
        "X-GitHub-Event": "pull_request",
        "X-GitHub-Delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    }
    name, _, id = github.event(headers, BODY, NOW)
    assert (name, id) == ("github.pull_request", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
    stripe = raywf.Webhook("whsec_plain", event="{type}", scheme="stripe")
    signature = digest(f"{NOW:.0f}.".encode() + BODY, b"whsec_plain").hex()
    name, _, id = stripe.event({"Stripe-Signature": f"t={NOW:.0f},v1={signature},v0=x"}, BODY, NOW)
    assert (name, id) == ("order.created", "o1")


def test_a_secret_may_be_changed_while_both_are_in_use() -> None:
    hook = raywf.Webhook([SECRET, "the new one"], event="x")
    assert hook.event(standard(key=b"the new one"), BODY, NOW).id == "msg_1"


@pytest.mark.parametrize(
    ("headers", "body", "now", "said"),
    [
        (standard(key=b"another"), BODY, NOW, "no signature of the request fits"),
        (standard(), BODY + b" ", NOW, "no signature of the request fits"),
        (standard() | {"Webhook-Id": "msg_2"}, BODY, NOW, "no signature of the request fits"),
        (standard() | {"Webhook-Signature": "v1,ä"}, BODY, NOW, "no signature of the request fits"),
        (standard() | {"Webhook-Signature": "v2,xx"}, BODY, NOW, "no signature of the request fits"),
        (standard(), BODY, NOW + 301, "301 s away from now, and 300 are allowed"),
        (standard(), BODY, NOW - 301, "301 s away from now"),
        (standard() | {"Webhook-Timestamp": "soon"}, BODY, NOW, "'soon' is not a number of seconds"),
        ({}, BODY, NOW, "has no header 'webhook-id'"),
    ],
)
def test_what_is_not_signed_rightly_is_refused(headers: dict[str, str], body: bytes, now: float, said: str) -> None:
    with pytest.raises(PermissionDenied) as refused:
        raywf.Webhook(SECRET, event="x").event(headers, body, now)
    assert said in str(refused.value)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By ``hmac.compare_digest``, and all of them, whichever fits."""
    asked = 0
    real = hmac.compare_digest

    def counting(left: Any, right: Any) -> bool:
        nonlocal asked
        asked += 1
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", counting)
    raywf.Webhook([SECRET, "other"], event="x").event(standard(), BODY, NOW)
    assert asked == 2


def test_a_delivery_without_an_id_is_known_by_its_content() -> None:
    hook = raywf.Webhook("s", event="x", scheme="github")

    def of(body: bytes) -> str:
        return hook.event({"x-hub-signature-256": "sha256=" + digest(body, b"s").hex()}, body, NOW).id

    assert of(b"[1]") == of(b"[1]") != of(b"[2]")


def test_a_body_that_is_no_json_or_of_no_type_is_refused() -> None:
    hook = raywf.Webhook(SECRET, event="x.{type}")
    with pytest.raises(InvalidInput, match="is not JSON"):
        hook.event(standard(b"{"), b"{", NOW)
    with pytest.raises(InvalidInput, match="which type of event"):
        hook.event(standard(b"[]"), b"[]", NOW)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"secret": ""}, "needs a secret"),
        ({"secret": "whsec_§"}, "is not base64"),
        ({"secret": "x", "scheme": "gihub"}, "Did you mean 'github'?"),
        ({"secret": "x", "event": "{kind}"}, r"with {type} once"),
        ({"secret": "x", "tolerance": 0}, "seconds above 0"),
    ],
)
def test_a_webhook_that_cannot_be_meant_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        raywf.Webhook(**{"event": "x", **given})
    assert said in str(refused.value)
