"""Text under a key that lives as long as a process: for notes that lie on a disk for a moment."""

from __future__ import annotations

import base64
import os

_NONCE = 12


def passing_key() -> bytes:
    return os.urandom(32)


def hide(key: bytes, text: str) -> str:
    """AES-256-GCM (NIST SP 800-38D) with a random nonce, in base64."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = os.urandom(_NONCE)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, text.encode(), None)).decode()


def show(key: bytes, hidden: str) -> str:
    """What ``hide`` was given. Raises ``ValueError`` for what was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = base64.b64decode(hidden)
    try:
        return AESGCM(key).decrypt(data[:_NONCE], data[_NONCE:], None).decode()
    except InvalidTag:
        raise ValueError("the notes of a worker were changed") from None
