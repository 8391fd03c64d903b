"""Webhooks: a signed request becomes an event. No HTTP here: whoever has a door hands headers and body in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raywf.definition.lines import did_you_mean
from raywf.errors import InvalidInput, PermissionDenied

SCHEMES = ("standard", "github", "stripe")
TOLERANCE_S = 300.0
_REFUSED = "the request was refused and no event was made of it"


class WebhookEvent(NamedTuple):
    """An event as ``engine.emit`` takes it."""

    name: str
    payload: Any
    id: str


class Webhook:
    """How requests of one sender are checked, and which events they are.

    ``scheme``: ``standard`` (the Standard Webhooks specification: ``webhook-id``, ``webhook-timestamp``, ``webhook-signature``),
    ``github`` (``X-Hub-Signature-256``, which has no time) or ``stripe`` (``Stripe-Signature``). ``secret``: one, or several while
    they are changed. ``event`` names the events, with ``{type}`` for what the sender calls them. Requests older or newer than
    ``tolerance`` seconds are refused. Raises ``InvalidInput``.
    """

    def __init__(
        self, secret: str | Sequence[str], *, event: str, scheme: str = "standard", tolerance: float = TOLERANCE_S
    ) -> None:
        secrets = [secret] if isinstance(secret, str) else list(secret)
        if not secrets or not all(secrets):
            raise InvalidInput("a webhook needs a secret: without one anybody could send events")
        if scheme not in SCHEMES:
            raise InvalidInput(f"scheme={scheme!r} is one of {', '.join(SCHEMES)}.{did_you_mean(scheme, SCHEMES)}")
        if not event or not re.fullmatch(r"[^{}]*(\{type\}[^{}]*)?", event):
            raise InvalidInput(f"event={event!r} is a name, with {{type}} once at most, as in 'github.{{type}}'")
        if not tolerance > 0:
            raise InvalidInput(f"tolerance={tolerance!r} is a number of seconds above 0")
        self._keys = [_key(each, scheme) for each in secrets]
        self._event = event
        self._scheme = scheme
        self._tolerance_s = tolerance

    def __repr__(self) -> str:
        return f"<webhook {self._event} {self._scheme}>"

    def event(self, headers: Mapping[str, str], body: bytes, now: float) -> WebhookEvent:
        """The event of a request, once it is known that the sender made it. ``now`` is the epoch second. Raises
        ``PermissionDenied`` or ``InvalidInput``."""
        given = {name.lower(): value for name, value in headers.items()}
        match self._scheme:
            case "github":
                self._check_github(given, body)
                kind, id = given.get("x-github-event"), given.get("x-github-delivery")
            case "stripe":
                self._check_stripe(given, body, now)
                kind = id = None
            case _:
                self._check_standard(given, body, now)
                kind, id = None, given.get("webhook-id")
        try:
            payload = json.loads(body)
        except ValueError as error:
            raise InvalidInput(f"the body of a webhook's request is not JSON: {error}; {_REFUSED}") from None
        said = payload if isinstance(payload, dict) else {}
        return WebhookEvent(self._name(kind or said.get("type")), payload, _id(id or said.get("id"), body))

    def _name(self, kind: Any) -> str:
        if "{type}" not in self._event:
            return self._event
        if not isinstance(kind, str) or not kind:
            raise InvalidInput(f"the request does not say which type of event it is; {_REFUSED}")
        return self._event.replace("{type}", re.sub(r"[^A-Za-z0-9_.:-]", "_", kind)[:100])

    def _check_standard(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        id, at = _header(headers, "webhook-id"), _header(headers, "webhook-timestamp")
        self._check_time(at, now)
        signed = b".".join((id.encode(), at.encode(), body))
        claimed = [each[3:] for each in _header(headers, "webhook-signature").split() if each.startswith("v1,")]
        self._check(signed, claimed, lambda digest: base64.b64encode(digest).decode())

    def _check_github(self, headers: Mapping[str, str], body: bytes) -> None:
        claimed = _header(headers, "x-hub-signature-256")
        self._check(body, [claimed.removeprefix("sha256=")], lambda digest: digest.hex())

    def _check_stripe(self, headers: Mapping[str, str], body: bytes, now: float) -> None:
        fields = [each.strip().partition("=") for each in _header(headers, "stripe-signature").split(",")]
        at = next((value for name, _, value in fields if name == "t"), "")
        self._check_time(at, now)
        claimed = [value for name, _, value in fields if name == "v1"]
        self._check(at.encode() + b"." + body, claimed, lambda digest: digest.hex())

    def _check_time(self, at: str, now: float) -> None:
        if not (at.isascii() and at.isdecimal()):
            raise PermissionDenied(f"the request's time {at!r:.40} is not a number of seconds: {_REFUSED}")
        away_s = abs(now - int(at))
        if away_s > self._tolerance_s:
            raise PermissionDenied(
                f"the request was signed {away_s:.0f} s away from now, and {self._tolerance_s:g} are allowed: {_REFUSED}. A "
                "replay looks like this, and so does a clock that is wrong"
            )

    def _check(self, signed: bytes, claimed: Sequence[str], encoded: Any) -> None:
        """Every secret is compared with every signature, each in constant time."""
        fits = False
        for key in self._keys:
            expected = encoded(hmac.new(key, signed, hashlib.sha256).digest())
            for each in claimed:
                fits |= hmac.compare_digest(expected.encode(), each.encode())
        if not fits:
            raise PermissionDenied(
                f"no signature of the request fits the secret: {_REFUSED}. Check the secret on both sides, and that the body is "
                "handed over byte by byte as it came"
            )


def _header(headers: Mapping[str, str], name: str) -> str:
    if not headers.get(name):
        raise PermissionDenied(f"the request has no header {name!r}, so nobody knows who sent it: {_REFUSED}")
    return headers[name]


def _key(secret: str, scheme: str) -> bytes:
    if scheme == "standard" and secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            raise InvalidInput("the secret begins with whsec_ and is not base64 after it: copy it whole") from None
    return secret.encode()


def _id(given: Any, body: bytes) -> str:
    """What makes a repeated delivery the same event: the sender's id, else the content."""
    if isinstance(given, str) and re.fullmatch(r"[\w.:-]{1,90}", given, re.ASCII):
        return given
    return hashlib.sha256(repr(given).encode() + b"\0" + body if given else body).hexdigest()
