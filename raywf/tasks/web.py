"""``raywf.tasks.http``: one request, with the task's idempotency key, and an answer that says whether to try again."""

from __future__ import annotations

import asyncio
import contextlib
import json as json_
import math
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar
from urllib.parse import urlsplit

from raywf.definition.options import Retry
from raywf.definition.secrets import Secret
from raywf.errors import InvalidInput, RaywfError
from raywf.tasks.ready import AsyncReadyTask, idempotency_key, is_known, options_of, revealed
from raywf.tasks.statuses import METHODS, SAFE, header_of, may_repeat, verdict

if TYPE_CHECKING:
    import httpx

P = ParamSpec("P")
R = TypeVar("R")
RETRY = Retry(max_attempts=4, initial=0.5, max_delay=30.0)
MAX_BYTES = 16 * 2**20
_SECRET_HEADERS = frozenset(
    "authorization proxy-authorization cookie x-api-key api-key x-auth-token x-goog-api-key".split()
)
_NOT_KEPT = frozenset({"set-cookie", "set-cookie2"})
_SHOWN = 300


class HttpError(RaywfError):
    """A request that gave no answer to go on with. ``status`` is None where there was none; ``retryable`` says whether trying
    again can help, ``retry_after`` (seconds) not sooner than when."""

    def __init__(
        self, message: str, status: int | None = None, retryable: bool = True, retry_after: float | None = None
    ) -> None:
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        super().__init__(message)
        self.args = (message,)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer. ``headers`` have lower-case names, without ``set-cookie``; ``url`` is where it came from after redirects,
    without its query. In a body ``response.json["id"]``, ``response.text`` and ``response.status`` are parts of it."""

    status: int
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b""

    @property
    def text(self) -> str:
        """The content as text, by the charset that it declares, else UTF-8."""
        kind = self.headers.get("content-type", "")
        charset = kind.lower().partition("charset=")[2].split(";")[0].strip(" \"'") or "utf-8"
        try:
            return self.content.decode(charset, "replace")
        except LookupError:
            return self.content.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The content as JSON. Raises ``InvalidInput``."""
        try:
            return json_.loads(self.content)
        except ValueError as error:
            raise InvalidInput(f"the answer of {self.url} is not JSON ({error}): {self.text[:_SHOWN]!r}") from None


def _check_call(given: Mapping[str, Any]) -> None:
    """Raises ``InvalidInput``. What is not known yet (a reference) is looked at when it is."""
    method, url, headers = given.get("method"), given.get("url"), given.get("headers")
    if is_known(method) and method.upper() not in METHODS:
        raise InvalidInput(f"method {method!r:.30} is not one of {', '.join(sorted(METHODS))}")
    if is_known(url):
        try:
            parts: Any = urlsplit(url)
        except ValueError:
            parts = None
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"url {_bare(url)!r:.200} is not one: write https://host/path")
        if parts.password:
            raise InvalidInput(
                "the url has a password, which would be in the history: send it as "
                "headers={'Authorization': raywf.secret('NAME', template='Basic {}')}"
            )
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            if str(name).lower() in _SECRET_HEADERS and isinstance(value, str):
                raise InvalidInput(
                    f"header {name!r} is given as text, and would be in the definition and the history for everybody to read: write "
                    f"raywf.secret('NAME_OF_AN_ENVIRONMENT_VARIABLE', template='Bearer {{}}') in its place"
                )


def _bare(url: str) -> str:
    """A URL as people may see it: without what is before the host and behind the path."""
    head, slashes, rest = url.partition("://")
    return f"{head}{slashes}{rest.partition('?')[0].partition('#')[0].rpartition('@')[2]}"


def _ready(function: Callable[P, Coroutine[Any, Any, R]]) -> AsyncReadyTask[P, R]:
    return AsyncReadyTask(function, "http", options_of("http", RETRY, _check_call))


@_ready
async def http(
    method: str,
    url: str | Secret,
    *,
    headers: Mapping[str, str | Secret] | None = None,
    params: Mapping[str, Any] | None = None,
    json: Any = None,
    form: Mapping[str, Any] | None = None,
    content: bytes | str | None = None,
    timeout: float = 30.0,
    accept: Sequence[int] = (),
    follow_redirects: bool | None = None,
    max_bytes: int = MAX_BYTES,
    idempotency_header: str | None = "Idempotency-Key",
) -> HttpResponse:
    """Send a request and give its answer (``raywf.tasks.HttpResponse``).

    A method that is not safe sends the task's idempotency key, the same in all attempts, as ``idempotency_header``; None for a
    server that takes none, and then a POST or PATCH of which nobody knows what became of it is not sent again. ``accept``:
    statuses besides 2xx and 3xx that are results. ``timeout``: seconds for the whole request. ``follow_redirects``: None
    follows them for GET and HEAD that carry no secret. Answers above ``max_bytes`` fail. Raises ``HttpError`` and
    ``InvalidInput``.
    """
    _check_call({"method": method, "url": url, "headers": headers})
    _check_options(timeout, max_bytes, json, form, content)
    method = method.upper()
    given = [url, *(headers or {}).values(), *(params or {}).values(), *(form or {}).values()]
    secrets = any(isinstance(each, Secret) for each in given)
    sent = revealed(headers) or {}
    if method not in SAFE and idempotency_header is not None and (key := idempotency_key()) is not None:
        sent.setdefault(idempotency_header, header_of(key))
    follows = follow_redirects if follow_redirects is not None else method in ("GET", "HEAD") and not secrets
    shown = "(a secret url)" if isinstance(url, Secret) else _bare(url)
    body = {"json": json, "data": revealed(form), "content": content}
    ask = {
        "method": method,
        "url": url.reveal() if isinstance(url, Secret) else url,
        "headers": sent,
        "params": revealed(params),
        **{name: value for name, value in body.items() if value is not None},
    }
    keyed = idempotency_header is not None
    try:
        async with asyncio.timeout(timeout):
            answer, read = await _exchange(ask, timeout, follows, max_bytes, shown)
    except (HttpError, InvalidInput):
        raise
    except Exception as error:
        _no_answer(error, method, shown, timeout, keyed, secrets)
    lowered = {name.lower(): value for name, value in answer.headers.items() if name.lower() not in _NOT_KEPT}
    said = verdict(method, answer.status_code, lowered, time.time(), keyed=keyed, accept=accept)
    if not said.ok:
        text = read[:_SHOWN].decode("utf-8", "replace")
        hint = "" if said.retryable else ". Trying again cannot help; name statuses that are results in accept="
        message = f"{method} {shown} answered {answer.status_code} {answer.reason_phrase}: {text!r}{hint}"
        raise HttpError(message, answer.status_code, said.retryable, said.retry_after)
    place = shown if isinstance(url, Secret) else _bare(str(answer.url))
    return HttpResponse(answer.status_code, place, lowered, read)


def _check_options(timeout: Any, max_bytes: Any, *bodies: Any) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not (0 < timeout < math.inf):
        raise InvalidInput(f"timeout={timeout!r:.60}: it must be a number of seconds above 0")
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:
        raise InvalidInput(f"max_bytes={max_bytes!r:.60}: it must be a whole number from 1")
    if sum(each is not None for each in bodies) > 1:
        raise InvalidInput("http takes one of json, form and content: they are three ways to give the body")


async def _exchange(
    ask: dict[str, Any], timeout: float, follows: bool, most: int, shown: str
) -> tuple[httpx.Response, bytes]:
    import httpx

    async with _client() as client:
        limits = httpx.Timeout(timeout, connect=min(timeout * 0.9, 10.0))
        request = client.build_request(**ask, timeout=limits)
        answer = await client.send(request, stream=True, follow_redirects=follows)
        try:
            return answer, await _read(answer, most, shown)
        finally:
            await answer.aclose()


async def _read(answer: httpx.Response, most: int, shown: str) -> bytes:
    chunks, size = [], 0
    async for chunk in answer.aiter_bytes():
        size += len(chunk)
        if size > most:
            raise HttpError(
                f"the answer of {shown} has more than max_bytes={most:,}: raise max_bytes, ask for less, or let a task of your own "
                "stream it to an object store",
                answer.status_code, False,
            )  # fmt: skip
        chunks.append(chunk)
    return b"".join(chunks)


def _no_answer(error: Exception, method: str, shown: str, timeout: float, keyed: bool, secrets: bool) -> NoReturn:
    """Raise what a request that got no answer comes to. Of one that carries secrets the library's own words are left out,
    because some of its messages quote the header that they are about."""
    import httpx

    kind = type(error).__name__
    words = kind if secrets or not str(error) else f"{kind}: {error}"
    wrong = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, httpx.TooManyRedirects)
    if isinstance(error, (*wrong, TypeError, ValueError)):
        raise HttpError(f"{method} {shown} cannot be sent: {words}", None, False) from None
    if not isinstance(error, (httpx.HTTPError, TimeoutError, OSError)):
        raise error
    never_sent = isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout))
    again = never_sent or may_repeat(method, keyed)
    what = f"no answer within {timeout:g} s" if isinstance(error, (TimeoutError, httpx.TimeoutException)) else words
    doubt = "" if again else ". Nobody knows whether it happened, so it is not sent again: look, and run it anew"
    raise HttpError(f"{method} {shown}: {what}{doubt}", None, again) from None


# the connections of a loop

_pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
_answering: list[Callable[..., Any]] = []


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[httpx.AsyncClient]:
    """The client of this loop: connections are kept. Cookies are not, or one execution would log in for another."""
    import httpx

    if _answering:
        async with httpx.AsyncClient(transport=httpx.MockTransport(_answering[-1])) as client:
            yield client
        return
    loop = asyncio.get_running_loop()
    found = _pools.get(loop)
    if found is None:
        found = _pools[loop] = httpx.AsyncClient(cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])))
    yield found


@contextlib.contextmanager
def answering(handler: Callable[[httpx.Request], Any]) -> Iterator[None]:
    """For tests: within this, ``raywf.tasks.http`` asks ``handler`` (from ``httpx.Request`` to ``httpx.Response``, sync or
    async) in the place of the network, in this process."""
    _answering.append(handler)
    try:
        yield
    finally:
        _answering.remove(handler)
