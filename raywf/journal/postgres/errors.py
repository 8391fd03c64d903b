"""What PostgreSQL reports, in words that help: which server, what it means, what to do.

Only what the world does to us becomes ``StoreUnavailable``, which is tried again for ever. A mistake in our own SQL or in
a value stays what it is: trying it again would never end.
"""

from __future__ import annotations

import asyncpg

from raywf.errors import RaywfError, StoreUnavailable

_KEPT = "Nothing accepted before is lost."
_AGAIN = f"{_KEPT} A commit under way is tried again by itself, and recognised if it was written."
NO_HOST = (
    f"of its hosts none that answers is as the URL's target_session_attrs asks. {_AGAIN} If the server that could be written "
    "is gone for good, promote its standby."
)

_MEANING: tuple[tuple[type[BaseException], str], ...] = (
    (
        asyncpg.DiskFullError,
        f"the server's disk is full. Nothing of this commit was written. {_KEPT} Free space there and it goes on by itself.",
    ),
    (asyncpg.TooManyConnectionsError, "the server has no connection free: raise its max_connections."),
    (asyncpg.InsufficientResourcesError, f"the server is short of memory, disk or connections. {_AGAIN}"),
    (
        asyncpg.ReadOnlySQLTransactionError,
        f"the server can only be read. {_KEPT} Is it a standby? Name all hosts in the URL; or let this user write.",
    ),
    (asyncpg.InvalidAuthorizationSpecificationError, "the server refuses this user or password: correct the URL."),
    (asyncpg.InvalidCatalogNameError, "the server has no such database: make it with `createdb`, or correct the URL."),
    (
        asyncpg.InsufficientPrivilegeError,
        "this user may not do that: let its role own the schema, or GRANT it CREATE on the database once.",
    ),
    (asyncpg.UndefinedTableError, "its tables are gone: restore the database, or stop the engine and start it anew."),
    (asyncpg.CannotConnectNowError, f"the server starts or stops. {_AGAIN}"),
    (asyncpg.OperatorInterventionError, f"the server was told to stop this connection. {_AGAIN}"),
    (asyncpg.PostgresConnectionError, f"the connection was lost. {_AGAIN}"),
    (asyncpg.TransactionRollbackError, f"the server gave way to another transaction. {_AGAIN}"),
    (asyncpg.ObjectNotInPrerequisiteStateError, f"the server waits for a lock. {_AGAIN}"),
    (asyncpg.PostgresSystemError, f"the server's disk or system reports an error. {_AGAIN} Look at the server's log."),
    (
        asyncpg.InternalServerError,
        f"the server reports damage or a defect of its own. {_AGAIN} Look at the server's log.",
    ),
    (asyncpg.IdleInTransactionSessionTimeoutError, f"this process stood still within a commit. {_AGAIN}"),
    (asyncpg.TargetServerAttributeNotMatched, NO_HOST),
    (asyncpg.InternalClientError, f"the connection broke in mid-sentence. {_AGAIN}"),
    (asyncpg.InterfaceError, f"the connection was lost. {_AGAIN}"),
    (TimeoutError, f"the server does not answer. {_AGAIN} Check that it runs and that the network leads to it."),
    (OSError, f"the server cannot be reached. {_AGAIN} Check that it runs and that host and port are right."),
)


def explain(error: BaseException, where: str) -> StoreUnavailable | None:
    """The error a user reads in place of the driver's; None for what is a defect."""
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return None  # a value that its column cannot take
    for kind, meaning in _MEANING:
        if isinstance(error, kind):
            said = f"{type(error).__name__}: {error}".rstrip(": ")
            return StoreUnavailable(f"store {where}: {meaning} ({said})")
    return None


def is_broken(error: BaseException) -> bool:
    """Whether the connection must not be used any more: its state is unknown."""
    if isinstance(error, asyncpg.PostgresError):
        return isinstance(error, asyncpg.OperatorInterventionError | asyncpg.PostgresConnectionError)
    return not isinstance(error, RaywfError | ValueError)  # a refusal of ours, or a value that was never sent
