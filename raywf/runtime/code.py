"""Where the code of tasks comes from: imported by path, or sent by value from a live client.

Functions of ``__main__``, of notebooks and nested ones cannot be imported elsewhere. The client pickles all of a
workflow's together (so that they share their classes) and sends the bytes; they live in memory only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import cloudpickle

from raywf.core.plan import FunctionRef
from raywf.definition import values
from raywf.definition.functions import resolve_function
from raywf.errors import CodeMissing


class Function:
    """A task's function, ready to be called: what it is, and how its result is checked against its annotation."""

    __slots__ = ("call", "coerce", "exact", "is_async", "path", "source")

    def __init__(self, path: str, call: Callable[..., Any]) -> None:
        self.path = path
        self.source = self.call = call
        call_method = getattr(type(call), "__call__", None)  # noqa: B004 - an object with an async __call__ is async too
        self.is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(call_method)
        self.coerce = values.coercer(call)
        self.exact = values.exact_result(call)


class Code:
    """The functions and classes that this process can reach."""

    def __init__(self) -> None:
        self._functions: dict[tuple[str, str], Function] = {}
        self._sent: dict[tuple[str, str], Callable[..., Any]] = {}
        self._classes: dict[str, type] = {}
        self.blobs: dict[tuple[str, str], bytes] = {}

    def receive(self, blob: bytes) -> None:
        """Take functions and classes sent by value. Raises ``CodeMissing`` when they cannot be unpickled here."""
        try:
            sent = cloudpickle.loads(blob)
        except Exception as error:
            raise CodeMissing(
                f"the functions sent from the client cannot be loaded here ({type(error).__name__}: {error}): "
                "put what they import where the cluster can import it too"
            ) from error
        for key, function in sent["functions"].items():
            self._sent[key] = function
            self.blobs[key] = blob
            self._functions.pop(key, None)
        self._classes.update(sent["classes"])

    def have(self, functions: dict[tuple[str, str], Callable[..., Any]]) -> None:
        """Know functions of this very process, by path and source hash."""
        self._sent.update(functions)

    def function(self, ref: FunctionRef) -> Function:
        """The function of a task. Raises ``CodeMissing``."""
        key = (ref.path, ref.source_hash if ref.by_value else "")
        found = self._functions.get(key)
        if found is None:
            found = self._functions[key] = Function(ref.path, self._find(ref, key))
        return found

    def callable(self, ref: FunctionRef) -> Callable[..., Any]:
        """The plain function behind a reference, for whoever calls it outside of a task. Raises ``CodeMissing``."""
        return self._find(ref, (ref.path, ref.source_hash if ref.by_value else ""))

    def _find(self, ref: FunctionRef, key: tuple[str, str]) -> Callable[..., Any]:
        if not ref.by_value:
            return resolve_function(ref)
        try:
            return self._sent[key]
        except KeyError:
            raise CodeMissing(
                f"the function {ref.path!r} lives in a script or notebook and only its client can send it: "
                "run that script again (unchanged in this function), or move the function into a module"
            ) from None

    def have_grown(self, functions: Mapping[FunctionRef, Callable[..., Any]]) -> None:
        """Know the functions of a continuation that was made here, those that cannot be imported."""
        self.have({(ref.path, ref.source_hash): function for ref, function in functions.items() if ref.by_value})

    def find_class(self, path: str) -> type:
        """The class of a stored value, sent or importable. Raises ``CodeMissing``."""
        found = self._classes.get(path)
        return found if found is not None else values.import_class(path)
