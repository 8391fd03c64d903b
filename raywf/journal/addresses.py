"""A PostgreSQL store's URL: checked, taken apart, and shown without what is secret in it.

``postgresql://user:password@host:port/database?schema=raywf``; several hosts are separated by commas (the first that can
be written to is used). The parameter ``schema`` is ours; all others are the server's and the driver's.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from raywf.config import shown
from raywf.errors import StoreUnavailable

_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_EXAMPLE = "postgresql://user:password@host:5432/database"


def take_apart(url: str) -> tuple[str, str]:
    """(the driver's URL, the schema). Raises ``StoreUnavailable`` for what no server could be found by."""
    seen = shown(url)
    if seen.endswith("…"):
        raise StoreUnavailable(
            f"store {seen}: the URL cannot be read. Write it as {_EXAMPLE}, with '@', ':', '/', '?' and '#' in user and "
            "password as %40, %3A, %2F, %3F and %23."
        )
    parts = urlsplit(url)
    try:
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        for host in parts.netloc.rpartition("@")[2].split(","):
            port = host.rpartition("]")[2].rpartition(":")[2] if ":" in host.rpartition("]")[2] else ""
            if port and not 0 < int(port) < 65536:
                raise ValueError
    except ValueError:
        raise StoreUnavailable(
            f"store {seen}: the URL cannot be read: look at its port and at what follows '?'. Write it as {_EXAMPLE}."
        ) from None
    schema = dict(query).get("schema", "raywf")
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise StoreUnavailable(
            f"store {seen}: schema={schema!r} cannot be used: it needs a name of a-z, 0-9 and '_' with at most 63 "
            "characters, not beginning with 'pg_' or a digit."
        )
    rest = urlencode([pair for pair in query if pair[0] != "schema"], safe="/", quote_via=quote)
    return parts._replace(scheme="postgresql", query=rest).geturl(), schema
