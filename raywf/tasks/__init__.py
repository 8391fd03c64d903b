"""Ready tasks: what a workflow asks of the world outside most often. Called in a body like any other task.

What lives here: ``http``, ``sql``, ``object_get`` and ``object_put``, each with the rules that make a repeated attempt harmless, as
far as the other side lets it. May import definition, core, errors and config; the libraries it calls with only when a task
runs. Always true: nothing secret is in a definition, a history or an error's message.
"""

from __future__ import annotations

from raywf.tasks.database import SqlError, SqlResult, sql
from raywf.tasks.objects import ObjectInfo, object_get, object_put
from raywf.tasks.web import HttpError, HttpResponse, answering, http

__all__ = [
    "HttpError",
    "HttpResponse",
    "ObjectInfo",
    "SqlError",
    "SqlResult",
    "answering",
    "http",
    "object_get",
    "object_put",
    "sql",
]
