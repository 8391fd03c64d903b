"""Keys by id, and the places they come from.

A *source* names a place; what is there is text, one or more keys as ``ID:BASE64`` (32 bytes each), separated by white space
or commas, with ``#`` comments:

=======================  ============================================================================================
``env:NAME``             an environment variable of the process that needs the key
``file:/path``           a file on its host, such as a mounted secret; read again when it changes
``call:module:function`` a function without parameters, imported where it is needed, that returns such a text: a key service
=======================  ============================================================================================

The first key of the first source seals; all of them open. Only sources travel between processes, never keys.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence

from raywf.errors import InvalidInput, KeyMissing

KEY_BYTES = 32
LOOK_S = 5.0
"""How often it is looked whether a file of keys has changed."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,16}")
_KINDS = "a source of keys is env:NAME, file:/path or call:module:function"


def new_key(id_: str) -> str:
    """A fresh random key as the text a source holds. Raises ``InvalidInput`` for an id that cannot be one."""
    return f"{_checked_id(id_, 'the new key')}:{base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


def check_source(source: object) -> str:
    """A source as text. A function is named by where it is imported from. Raises ``InvalidInput``, and shows nothing that might
    be a key."""
    if callable(source):
        module, name = getattr(source, "__module__", None), getattr(source, "__qualname__", "<")
        if module in (None, "__main__") or "<" in name:
            raise InvalidInput(
                f"keys: the function {name} cannot be imported elsewhere, and the actors must call it too: put it into a module"
            )
        return f"call:{module}:{name}"
    kind, _, rest = source.partition(":") if isinstance(source, str) else ("", "", "")
    if kind not in ("env", "file", "call") or not rest or (kind == "call" and ":" not in rest):
        raise InvalidInput(
            f"keys: {_KINDS}, and one of those given is not. A key itself is never given: it would travel where others can read it"
        )
    return f"file:{os.path.abspath(os.path.expanduser(rest))}" if kind == "file" else f"{kind}:{rest}"


class KeyRing:
    """The keys of some sources, in order. Reads them at once: raises ``KeyMissing`` for a source that is not there and
    ``InvalidInput`` for one whose text cannot be read. Safe from any thread."""

    def __init__(self, sources: Sequence[str], now: Callable[[], float] = time.monotonic) -> None:
        self._sources = tuple(sources)
        self._now = now
        self._keys: dict[str, bytes] = {}
        self._read()

    def _read(self) -> None:
        self._seen = [_stamp(source) for source in self._sources]
        self._look_at = self._now() + LOOK_S
        keys: dict[str, bytes] = {}
        for source in self._sources:
            for id_, key in _parsed(_text_of(source), source):
                if keys.setdefault(id_, key) != key:
                    raise InvalidInput(f"keys: {source} has another key under the id {id_!r} than a source before it")
        self._keys = keys  # in one step: another thread sees the ring before or the ring after

    def _look(self) -> None:
        if self._now() >= self._look_at:
            self._look_at = self._now() + LOOK_S
            if self._seen != [_stamp(source) for source in self._sources]:
                self._read()

    @property
    def first(self) -> tuple[str, bytes]:
        """The key that seals, and its id."""
        self._look()
        return next(iter(self._keys.items()))

    @property
    def ids(self) -> list[str]:
        """The ids, the one that seals first."""
        self._look()
        return list(self._keys)

    def get(self, id_: str) -> bytes:
        """The key of an id; the sources are read again before it is missed. Raises ``KeyMissing``."""
        key = self._keys.get(id_)
        if key is None:
            self._read()
            key = self._keys.get(id_)
        if key is None:
            raise KeyMissing(
                f"a value of this store is encrypted with key {id_!r}, and the keys given here are {', '.join(self._keys)}: "
                f"add {id_!r} after the first one, so that it opens what is old",
                id_,
            )
        return key


def _stamp(source: str) -> tuple[int, int] | None:
    if not source.startswith("file:"):
        return None
    try:
        found = os.stat(source[5:])
    except OSError:
        return None  # half of a replacement; reading says what is wrong, and that is not done for a change alone
    return found.st_mtime_ns, found.st_size


def _text_of(source: str) -> str:
    kind, _, rest = source.partition(":")
    match kind:
        case "env":
            text = os.environ.get(rest)
            if not text:
                raise KeyMissing(
                    f"keys: the environment variable {rest} is not set in this process ({os.getpid()}). Set it where every raywf "
                    "process starts (before `raywf up` or `ray start`), or keep keys in a file: RAYWF_KEYS=file:/path"
                )
            return text
        case "file":
            try:
                with open(rest, encoding="utf-8") as file:
                    return file.read()
            except (OSError, UnicodeDecodeError) as error:
                raise KeyMissing(
                    f"keys: the file {rest} cannot be read on this host: {getattr(error, 'strerror', None) or 'not UTF-8'}. Every "
                    "host that runs raywf's actors or commands needs it"
                ) from None
        case _:
            return _called(source, rest)


def _called(source: str, place: str) -> str:
    module, _, name = place.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        text = found() if callable(found) else None
    except Exception as error:  # whatever a key service comes up with; its words are shown, so they must hold no key
        raise KeyMissing(f"keys: {source} gave none: {type(error).__name__}: {error}") from error
    if not isinstance(text, str):
        raise InvalidInput(f"keys: {source} must return text, ID:BASE64, and returned {type(text).__name__}")
    return text


def _parsed(text: str, source: str) -> list[tuple[str, bytes]]:
    words = re.sub(r"#[^\n]*", " ", text).replace(",", " ").split()
    found = []
    for number, word in enumerate(words, 1):
        id_, colon, encoded = word.partition(":")
        where = f"keys: entry {number} of {source}"
        if not colon:
            raise InvalidInput(f"{where} is not ID:BASE64 (`raywf keys new ID` makes one)")
        try:
            key = base64.b64decode(encoded, altchars=b"-_" if set(encoded) & set("-_") else None, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise InvalidInput(
                f"{where} ({_checked_id(id_, where)}) is not base64 of {KEY_BYTES} bytes: `raywf keys new ID` makes one"
            )
        found.append((_checked_id(id_, where), key))
    if not found:
        raise InvalidInput(f"keys: there is no key in {source}: `raywf keys new ID` makes one")
    return found


def _checked_id(id_: str, where: str) -> str:
    if not _ID.fullmatch(id_):
        raise InvalidInput(f"{where}: a key's id has 1 to 16 letters, digits, '.', '_' or '-', such as 2026-11")
    return id_
