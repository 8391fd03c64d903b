"""``raywf.tasks.http``: what is sent, what an answer means, and what never gets into a history."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import raywf
import raywf.testing
from raywf import tasks, workflow
from raywf.definition.secrets import Secret
from raywf.errors import DefinitionError, WorkflowFailed
from raywf.tasks import statuses
from raywf.testing.ledger import Clock

URL = "https://shop.example/orders?token=hidden"


@workflow
def order(amount: int):  # type: ignore[no-untyped-def]
    made = tasks.http("POST", URL, json={"amount": amount})
    return made.status, made.json["id"], made.headers["x-kind"], made.url


@workflow
def look(path: str):  # type: ignore[no-untyped-def]
    return tasks.http("GET", f"https://shop.example/{path}", accept=[404]).status


@workflow
def unkeyed(amount: int):  # type: ignore[no-untyped-def]
    return tasks.http("POST", URL, json={"amount": amount}, idempotency_header=None).status


@workflow
def with_secret(amount: int):  # type: ignore[no-untyped-def]
    return tasks.http("POST", URL, headers={"Authorization": raywf.secret("SHOP", template="Bearer {}")}).content


def answers(
    *given: int | httpx.Response | Exception,
) -> tuple[Callable[[httpx.Request], httpx.Response], list[httpx.Request]]:
    """A server that gives these answers in turn, the last one for ever, and what it was asked."""
    asked: list[httpx.Request] = []
    left = list(given)

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        found = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found) if isinstance(found, int) else found

    return handle, asked


MADE = httpx.Response(201, json={"id": "o-1"}, headers={"X-Kind": "order", "Set-Cookie": "session=s3cret"})


def test_an_answer_is_a_value_whose_parts_a_body_may_name() -> None:
    handle, _ = answers(MADE)
    with tasks.answering(handle):
        assert raywf.testing.run(order, 7) == (201, "o-1", "order", "https://shop.example/orders")


def test_all_attempts_send_the_same_key_and_other_tasks_another() -> None:
    @workflow
    def twice(amount: int):  # type: ignore[no-untyped-def]
        first = tasks.http("POST", URL, json={"amount": amount})
        return tasks.http("PUT", URL, json=first.json).status

    handle, asked = answers(500, httpx.ConnectError("refused"), httpx.ReadTimeout(""), MADE)
    with tasks.answering(handle):
        raywf.testing.run(twice, 7)
    keys = [request.headers["idempotency-key"] for request in asked]
    assert len(asked) == 5
    assert len(set(keys[:4])) == 1 and keys[4] != keys[0]
    assert keys[0].startswith('"') and keys[0].endswith('"') and len(keys[0]) == 42
    assert [json.loads(request.content) for request in asked] == [{"amount": 7}] * 4 + [{"id": "o-1"}]


def test_a_safe_method_sends_no_key() -> None:
    handle, asked = answers(404)
    with tasks.answering(handle):
        assert raywf.testing.run(look, "nothing") == 404
    assert "idempotency-key" not in asked[0].headers


def test_it_comes_again_when_it_is_told_to_and_not_sooner() -> None:
    handle, asked = answers(httpx.Response(429, headers={"Retry-After": "7200"}), MADE)
    clock = Clock()
    with tasks.answering(handle):
        raywf.testing.run(order, 7, clock=clock)
    assert len(asked) == 2
    assert 7200 <= clock.elapsed_s < 7201


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422, 501])
def test_what_trying_again_cannot_help_is_not_tried_again(status: int) -> None:
    handle, asked = answers(httpx.Response(status, text="because"))
    with tasks.answering(handle), pytest.raises(WorkflowFailed) as failed:
        raywf.testing.run(order, 7)
    assert len(asked) == 1
    failure = failed.value.failure
    assert (failure.type, failure.retryable) == ("raywf.tasks.web.HttpError", False)
    assert f"POST https://shop.example/orders answered {status}" in failure.message
    assert "'because'" in failure.message
    assert "hidden" not in str(failed.value)


def test_a_post_without_a_key_is_not_sent_again_when_nobody_knows_what_became_of_it() -> None:
    for first, times in ((httpx.ReadTimeout("late"), 1), (500, 1), (httpx.ConnectError("refused"), 2), (429, 2)):
        handle, asked = answers(first, MADE)
        with tasks.answering(handle):
            if times == 1:
                with pytest.raises(WorkflowFailed):
                    raywf.testing.run(unkeyed, 7)
            else:
                assert raywf.testing.run(unkeyed, 7) == 201
        assert len(asked) == times, first
        assert "idempotency-key" not in asked[0].headers


def test_a_large_answer_is_refused_before_it_is_read_to_its_end() -> None:
    @workflow
    def small(x: int):  # type: ignore[no-untyped-def]
        return tasks.http("GET", "https://shop.example/", max_bytes=1000).content

    handle, _ = answers(httpx.Response(200, content=b"x" * 1001))
    with tasks.answering(handle), pytest.raises(WorkflowFailed, match="more than max_bytes=1,000"):
        raywf.testing.run(small, 1)


def test_a_secret_is_sent_and_stored_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "s3cr3t")
    handle, asked = answers(httpx.Response(200, content=b"fine"))
    with tasks.answering(handle):
        assert raywf.testing.run(with_secret, 1) == b"fine"
    assert asked[0].headers["authorization"] == "Bearer s3cr3t"
    assert "s3cr3t" not in with_secret.definition.to_json()
    assert '"SHOP"' in with_secret.definition.to_json()


def test_a_secret_that_is_not_there_says_which_and_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOP", raising=False)
    with pytest.raises(WorkflowFailed, match="the secret 'SHOP' is not in the environment"):
        raywf.testing.run(with_secret, 1)


def test_what_the_library_says_of_a_request_with_a_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "s3cr3t")
    handle, _ = answers(httpx.LocalProtocolError("Illegal header value b'Bearer s3cr3t'"))
    with tasks.answering(handle), pytest.raises(WorkflowFailed) as failed:
        raywf.testing.run(with_secret, 1)
    assert "s3cr3t" not in str(failed.value)
    assert failed.value.failure.retryable is False


@pytest.mark.parametrize(
    ("args", "options", "message"),
    [
        (("FETCH", URL), {}, "method 'FETCH' is not one of DELETE, GET"),
        (("GET", "shop.example"), {}, "url 'shop.example' is not one: write https://host/path"),
        (("GET", "https://ann:pw@shop.example/"), {}, "the url has a password"),
        (("GET", URL), {"headers": {"Authorization": "Bearer x"}}, "header 'Authorization' is given as text"),
        (("GET", URL), {"headers": {"X-API-Key": "x"}}, "raywf.secret"),
    ],
)
def test_what_cannot_be_meant_is_refused_while_the_graph_is_built(
    args: tuple[str, ...], options: dict[str, Any], message: str
) -> None:
    @workflow
    def wrong(x: int):  # type: ignore[no-untyped-def]
        return tasks.http(*args, **options)

    with pytest.raises(DefinitionError, match=message) as refused:
        _ = wrong.definition
    assert "pw" not in str(refused.value)


def test_a_secret_does_not_become_text_by_accident() -> None:
    token = raywf.secret("SHOP")
    for wrong in (lambda: f"Bearer {token}", lambda: str(token), lambda: "Bearer " + token):  # type: ignore[operator]
        with pytest.raises(DefinitionError, match=r"template='Bearer \{\}'"):
            wrong()
    with pytest.raises(DefinitionError, match="the \\*name\\* of an environment variable") as refused:
        raywf.secret("sk-live-1234567890")
    assert "1234567890" not in str(refused.value)
    assert repr(token) == "secret('SHOP')"
    assert pickle.loads(pickle.dumps(token)) == token == Secret("SHOP")


def test_redirects_are_followed_only_where_nothing_secret_goes_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "s3cr3t")

    @workflow
    def plainly(x: int):  # type: ignore[no-untyped-def]
        return tasks.http("GET", "https://shop.example/a").url

    @workflow
    def secretly(x: int):  # type: ignore[no-untyped-def]
        return tasks.http("GET", "https://shop.example/a", headers={"X-Key": raywf.secret("SHOP")}).status

    moved = httpx.Response(302, headers={"Location": "https://elsewhere.example/b?c=d"})
    handle, asked = answers(moved, httpx.Response(200))
    with tasks.answering(handle):
        assert raywf.testing.run(plainly, 1) == "https://elsewhere.example/b"
    handle, asked = answers(moved, httpx.Response(200))
    with tasks.answering(handle):
        assert raywf.testing.run(secretly, 1) == 302
    assert [request.url.host for request in asked] == ["shop.example"]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
        ("Tue, 14 Nov 2023 22:13:10 GMT", 0.0),
        ("99999999", 7 * 86400.0),
        ("soon", None),
        ("-5", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert statuses.retry_after(value, 1_700_000_000.0) == seconds


@pytest.mark.parametrize(
    ("method", "status", "headers", "keyed", "expected"),
    [
        ("POST", 200, {}, True, statuses.OK),
        ("GET", 304, {}, False, statuses.OK),
        ("POST", 409, {}, True, statuses.Verdict(False, True)),
        ("POST", 409, {}, False, statuses.Verdict(False, False)),
        ("POST", 503, {}, False, statuses.Verdict(False, False)),
        ("POST", 503, {"retry-after": "3"}, False, statuses.Verdict(False, True, 3.0)),
        ("PUT", 502, {}, False, statuses.Verdict(False, True)),
        ("POST", 502, {"retry-after": "3"}, True, statuses.Verdict(False, True, 3.0)),
        ("GET", 408, {}, False, statuses.Verdict(False, True)),
    ],
)
def test_a_status_says_whether_trying_again_can_help(
    method: str, status: int, headers: dict[str, str], keyed: bool, expected: statuses.Verdict
) -> None:
    assert statuses.verdict(method, status, headers, 0.0, keyed=keyed) == expected


def test_an_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(tasks.HttpError("gone", 503, True, 2.0)))
    assert (str(error), error.status, error.retryable, error.retry_after) == ("gone", 503, True, 2.0)


def test_text_goes_by_the_declared_charset() -> None:
    latin = tasks.HttpResponse(200, "u", {"content-type": "text/plain; charset=ISO-8859-1"}, "é".encode("latin-1"))
    assert latin.text == "é"
    assert tasks.HttpResponse(200, "u", {"content-type": "text/plain; charset=nonsense"}, b"a").text == "a"
    with pytest.raises(raywf.InvalidInput, match="is not JSON"):
        _ = tasks.HttpResponse(200, "https://a", {}, b"<html>").json
