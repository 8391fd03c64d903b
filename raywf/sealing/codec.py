"""``Codec``: how values are written to a store, as a setting that may travel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from raywf.errors import InvalidInput
from raywf.sealing.compression import ALGORITHMS
from raywf.sealing.envelope import Sealer
from raywf.sealing.keys import KeyRing, check_source


@dataclass(frozen=True, slots=True, init=False)
class Codec:
    """How values are written: compressed (``zstd``, ``zlib`` or ``lzma``; what does not shrink stays as it is), encrypted, both,
    or neither. What was written in another way is read all the same.

    ``keys`` are sources of keys, not keys: ``env:NAME``, ``file:/path``, ``call:module:function``, or such a function (see
    ``sealing.keys``). The first key of all encrypts, every one decrypts. AES-256-GCM (NIST SP 800-38D) through the package
    cryptography; each process derives a key of its own from it, so random nonces of 96 bits never run out.
    """

    compress: str | None
    keys: tuple[str, ...]

    def __init__(self, compress: str | None = None, keys: str | Sequence[str | Callable[[], str]] = ()) -> None:
        if compress is not None and compress not in ALGORITHMS:
            raise InvalidInput(f"compress={compress!r} is not known: it is one of {', '.join(ALGORITHMS)}")
        sources = [keys] if isinstance(keys, str) or callable(keys) else list(keys)
        object.__setattr__(self, "compress", compress)
        object.__setattr__(self, "keys", tuple(map(check_source, sources)))

    def __bool__(self) -> bool:
        return bool(self.compress or self.keys)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Codec:
        """Read ``RAYWF_COMPRESS`` and ``RAYWF_KEYS`` (sources, separated by commas). Raises ``InvalidInput``."""
        sources = [each.strip() for each in env.get("RAYWF_KEYS", "").split(",") if each.strip()]
        return cls(env.get("RAYWF_COMPRESS") or None, sources)

    def to_text(self) -> str:
        """As text, for whoever must write as this process does; holds no key."""
        return json.dumps({"compress": self.compress, "keys": list(self.keys)}) if self else ""

    @classmethod
    def from_text(cls, text: str) -> Codec:
        return cls(**json.loads(text)) if text else cls()

    def sealer(self) -> Sealer:
        """What seals and opens by this codec. Reads the keys: raises ``KeyMissing`` and ``InvalidInput``."""
        return Sealer(self.compress, KeyRing(self.keys) if self.keys else None)
