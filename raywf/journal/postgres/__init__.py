"""The journal in a PostgreSQL database: one schema, as many hosts as the server can be reached from.

Readers never write; a client writes rows of the inbox, limits and schedules; only an owner makes or migrates the schema.
"""

from raywf.journal.postgres.bell import PostgresBell
from raywf.journal.postgres.blobs import PostgresBlobs
from raywf.journal.postgres.inbox import PostgresInbox
from raywf.journal.postgres.journal import PostgresJournal
from raywf.journal.postgres.reader import PostgresReader

__all__ = ["PostgresBell", "PostgresBlobs", "PostgresInbox", "PostgresJournal", "PostgresReader"]
