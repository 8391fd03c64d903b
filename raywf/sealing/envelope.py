"""The envelope of a sealed value.

::

    01 72 77 01 │ flags │ key id, 16 bytes │ salt, 8 │ nonce, 12 │ ciphertext │ tag, 16      encrypted
    01 72 77 01 │ flags │ zeros            │ compressed bytes                                 only compressed

``flags``: the low half says how the content was compressed, 0x10 that it is encrypted. No encoding of a value begins with the
byte 01, so whatever does not begin like this was written plainly, and is read so; plain bytes that do are put into an envelope.

**Why a salt.** AES-GCM with random nonces of 96 bits is good for 2^32 messages under one key, which a busy store writes in a
day. So each process seals under a key of its own: HMAC-SHA256 of the key and a random salt. A forked child shares both and draws
other nonces. **Why a place.** The associated data is the header and where the value belongs (table and row), so that who can write
to the store cannot pass one value off as another, nor an old one for a new one in another row.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raywf.errors import InvalidInput, KeyMissing, SealBroken
from raywf.sealing.compression import ALGORITHMS, WORTH_IT, compress, decompress

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from raywf.sealing.keys import KeyRing

MAGIC = b"\x01rw\x01"
HEADER = 21
TEXT = "rw1:"
"""What the text form begins with; base64 of the envelope follows."""

_ENCRYPTED = 0x10
_SALT, _NONCE = 8, 12
_PER_SALT = 2**30
_MOST_OPENERS = 4096


def is_sealed(data: bytes | memoryview | None) -> bool:
    return data is not None and data[:4] == MAGIC


def is_sealed_text(text: str | None) -> bool:
    return text is not None and text.startswith(TEXT)


def key_of(data: bytes) -> str | None:
    """The id of the key that a value is encrypted with; None for one that is not encrypted."""
    if data[:4] != MAGIC or not data[4] & _ENCRYPTED:
        return None
    return data[5:HEADER].rstrip(b"\0").decode("ascii", errors="replace")


def key_of_text(text: str) -> str | None:
    return key_of(_unwrapped(text)) if text.startswith(TEXT) else None


def _unwrapped(text: str) -> bytes:
    try:
        return base64.b64decode(text[len(TEXT) :], validate=True)
    except ValueError:
        raise SealBroken(f"a sealed text of {len(text)} characters was changed: restore it") from None


class Sealer:
    """Seals and opens. Without a ring nothing is encrypted, and what is does not open (``KeyMissing``). Safe from any thread."""

    def __init__(self, compress: str | None, ring: KeyRing | None) -> None:
        self._compress = compress
        self._ring = ring
        self._openers: dict[tuple[str, bytes], AESGCM] = {}
        self._sealing: tuple[str, bytes, bytes, AESGCM] | None = None
        self._left = 0
        self._naming: dict[str, bytes] = {}
        if ring is not None:
            _cipher(ring.first[1])  # is cryptography there? Better now than in the middle of a commit

    @property
    def encrypts(self) -> bool:
        return self._ring is not None

    @property
    def key(self) -> str | None:
        """The id of the key that seals now."""
        return None if self._ring is None else self._ring.first[0]

    @property
    def ids(self) -> list[str]:
        """The ids of the keys given, the one that seals first."""
        return [] if self._ring is None else self._ring.ids

    def seal(self, data: bytes, place: str) -> bytes:
        """``data`` as it is to be stored at ``place``."""
        flags = 0
        if self._compress is not None and len(data) >= WORTH_IT:
            packed = compress(data, self._compress)
            if len(packed) < len(data):
                data, flags = packed, 1 + ALGORITHMS.index(self._compress)
        if self._ring is None:
            return data if not flags and data[:4] != MAGIC else _header(flags, "") + data
        id_, salt, prefix, cipher = self._session(self._ring)
        nonce = os.urandom(_NONCE)
        header = _header(flags | _ENCRYPTED, id_) if flags else prefix
        return header + salt + nonce + cipher.encrypt(nonce, data, header + place.encode())

    def open(self, data: bytes, place: str) -> bytes:
        """What was sealed for ``place``; plain data as it is. Raises ``KeyMissing`` and ``SealBroken``."""
        if data[:4] != MAGIC:
            return data
        flags = data[4] if len(data) >= HEADER else 0xFF
        how = flags & 0x0F
        is_encrypted = bool(flags & _ENCRYPTED)
        if flags & ~(_ENCRYPTED | 0x0F) or how > len(ALGORITHMS) or is_encrypted != any(data[5:HEADER]):
            raise SealBroken(
                f"the value at {place} was sealed by a newer raywf, or was changed: upgrade, or restore it"
            )
        body = self._decrypted(data, place) if is_encrypted else data[HEADER:]
        return decompress(body, ALGORITHMS[how - 1]) if how else body

    def seal_text(self, text: str, place: str) -> str:
        """``seal`` for a column of text: base64, unless the text may stay as it is."""
        data = text.encode()
        sealed = self.seal(data, place)
        if sealed is data and not text.startswith(TEXT):
            return text
        return TEXT + base64.b64encode(sealed if sealed is not data else _header(0, "") + data).decode()

    def open_text(self, text: str, place: str) -> str:
        return self.open(_unwrapped(text), place).decode() if text.startswith(TEXT) else text

    def names(self, hash_: str) -> Iterator[str]:
        """Where the large value of a content hash may be, likeliest first. Encrypted ones are named by a keyed hash: who has no
        key cannot ask whether a known value is there."""
        *keyed, plain = self.aliases(hash_)
        yield from keyed
        yield f"{hash_}.z"
        yield plain

    def aliases(self, hash_: str) -> list[str]:
        """A hash as the store may have it: keyed by each key, the one that seals first, and as it is."""
        return [*(self._name(id_, hash_) for id_ in self.ids), hash_]

    def names_for_new(self, hash_: str) -> Iterator[str]:
        """Those of ``names`` that a large value written now may have."""
        if self._ring is not None:
            yield self._name(self._ring.first[0], hash_)
        else:
            if self._compress is not None:
                yield f"{hash_}.z"
            yield hash_

    def name(self, hash_: str, sealed: bytes) -> str:
        """Where a large value belongs that ``seal`` has made this of."""
        if (id_ := key_of(sealed)) is not None:
            return self._name(id_, hash_)
        return f"{hash_}.z" if is_sealed(sealed) else hash_

    def _name(self, id_: str, hash_: str) -> str:
        assert self._ring is not None
        naming = self._naming.get(id_)
        if naming is None:
            naming = self._naming[id_] = _derived(self._ring.get(id_), b"raywf names")
        return hmac.new(naming, hash_.encode(), hashlib.sha256).hexdigest()

    def _session(self, ring: KeyRing) -> tuple[str, bytes, bytes, AESGCM]:
        id_, key = ring.first
        found = self._sealing
        if found is None or found[0] != id_ or self._left <= 0:
            salt = os.urandom(_SALT)
            found = self._sealing = (
                id_,
                salt,
                _header(_ENCRYPTED, id_),
                _cipher(_derived(key, b"raywf values" + salt)),
            )
            self._left = _PER_SALT
        self._left -= 1
        return found

    def _decrypted(self, data: bytes, place: str) -> bytes:
        from cryptography.exceptions import InvalidTag

        id_, start = key_of(data) or "", HEADER + _SALT
        cipher = self._opener(id_, bytes(data[HEADER:start]))
        try:
            return cipher.decrypt(data[start : start + _NONCE], data[start + _NONCE :], data[:HEADER] + place.encode())
        except (InvalidTag, ValueError):
            raise SealBroken(
                f"the value at {place}, encrypted with key {id_!r}, does not open: it was changed or moved there, or the key given "
                f"as {id_!r} is another one than it was. Restore the row, or give the right key"
            ) from None

    def _opener(self, id_: str, salt: bytes) -> AESGCM:
        found = self._openers.get((id_, salt))
        if found is None:
            if self._ring is None:
                raise no_key(id_)
            found = _cipher(_derived(self._ring.get(id_), b"raywf values" + salt))
            if len(self._openers) >= _MOST_OPENERS:
                self._openers.clear()
            self._openers[id_, salt] = found
        return found


def no_key(id_: str) -> KeyMissing:
    """The error of a process that was given no keys at all."""
    return KeyMissing(
        f"encrypted with key {id_!r}, and this process was given no keys: set RAYWF_KEYS=file:/path/to/keys (or env:NAME) or "
        f"raywf.connect(codec=raywf.Codec(keys=…)) to where {id_!r} is",
        id_,
    )


def _header(flags: int, id_: str) -> bytes:
    return MAGIC + bytes((flags,)) + id_.encode().ljust(16, b"\0")


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, purpose, hashlib.sha256).digest()


def _cipher(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("cryptography"):
            raise
        raise InvalidInput(
            "encrypted values need the package cryptography, which is not installed here: pip install 'raywf[encryption]'"
        ) from None
    return AESGCM(key)
