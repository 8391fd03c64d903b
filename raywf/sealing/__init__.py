"""Sealing: what a store's values look like on disk.

What lives here: ``Codec`` (the setting: how to compress, where keys are found), the key ring, and the envelope that a
sealed value is. What it may import: errors; cryptography and pyarrow inside functions, so that who seals nothing pays nothing.
What is always true: a key is never part of a codec, of its text or of an error, only the place where it is found; what was
sealed for one place in a store opens at no other; whatever was once sealed opens while its key is in the ring.
"""

from raywf.sealing.codec import Codec
from raywf.sealing.envelope import Sealer, is_sealed, is_sealed_text, key_of, key_of_text

__all__ = ["Codec", "Sealer", "is_sealed", "is_sealed_text", "key_of", "key_of_text"]
