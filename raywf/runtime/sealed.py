"""Large values behind a codec.

An event names a large value by the hash of what it is, and is itself sealed. The value lies under another name, the keyed hash of
that hash (``Sealer.name``), so equal values are kept once per key and nobody without the key can ask whether a known document
is there. Its hash goes into the envelope with it, so that one value cannot be put in the place of another.
"""

from __future__ import annotations

import hashlib

from raywf.errors import SealBroken
from raywf.runtime.data import NamedBlobs, Recent, blob_hash
from raywf.sealing import Sealer, is_sealed, key_of

_PLACE = "large value"
_HASH = 32


class SealedBlobs:
    """``data.Blobs`` over those of a store. Safe from any thread."""

    def __init__(self, inner: NamedBlobs, sealer: Sealer) -> None:
        self.inner = inner
        self.sealer = sealer
        self._recent = Recent()

    def put(self, data: bytes) -> str:
        hash_ = blob_hash(data)
        if not any(map(self.inner.has, self.sealer.names_for_new(hash_))):
            sealed = self.sealer.seal(bytes.fromhex(hash_) + data, _PLACE)
            self.inner.write(self.sealer.name(hash_, sealed), sealed if is_sealed(sealed) else data)
        self._recent.put(hash_, data)
        return hash_

    def get(self, hash_: str) -> bytes:
        data = self._recent.get(hash_)
        if data is None:
            data = self._read(hash_)
            self._recent.put(hash_, data)
        return data

    def _read(self, hash_: str) -> bytes:
        for name in self.sealer.names(hash_):
            stored = self.inner.read(name)
            if stored is not None:
                return stored if name == hash_ else self._opened(stored, hash_)
        return self.inner.get(hash_)  # which says best that it is not there

    def _opened(self, stored: bytes, hash_: str) -> bytes:
        content = self.sealer.open(stored, _PLACE)
        if content[:_HASH].hex() != hash_:
            raise SealBroken(f"another large value lies in the place of {hash_}: restore its directory or table")
        return content[_HASH:]

    def renew(self, name: str) -> bool:
        """Seal what lies under a name anew, as ``put`` would today. False: it is as it should be. Dying between, there are two of it,
        which is one too many and no harm. Raises ``KeyMissing`` and ``SealBroken``."""
        stored = self.inner.read(name)
        if stored is None or (self.sealer.key is not None and key_of(stored) == self.sealer.key):
            return False
        content = stored if self._is_plain(name, stored) else self.sealer.open(stored, _PLACE)[_HASH:]
        hash_ = blob_hash(content)
        wanted = list(self.sealer.names_for_new(hash_))
        if name in wanted:
            return False
        if not any(map(self.inner.has, wanted)):
            sealed = self.sealer.seal(bytes.fromhex(hash_) + content, _PLACE)
            if self.sealer.name(hash_, sealed) == name:
                return False
            self.inner.write(self.sealer.name(hash_, sealed), sealed if is_sealed(sealed) else content)
        self.inner.remove(name)
        return True

    def _is_plain(self, name: str, stored: bytes) -> bool:
        """Whether bytes are the value itself: then its name is their hash, whatever they begin with."""
        return not is_sealed(stored) or hashlib.sha256(stored).hexdigest() == name

    def close(self) -> None:
        self.inner.close()
