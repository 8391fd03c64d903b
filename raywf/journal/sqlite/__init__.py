"""The journal in one SQLite file: write-ahead log, synchronous=FULL, one process that commits and checkpoints."""

from raywf.journal.sqlite.journal import SqliteInbox, SqliteJournal
from raywf.journal.sqlite.reader import SqliteReader

__all__ = ["SqliteInbox", "SqliteJournal", "SqliteReader"]
