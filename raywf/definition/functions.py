"""Functions by name: how a task's function is written down, found again, and checked against its arguments."""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Any

from raywf.core.plan import FunctionRef
from raywf.definition.lines import did_you_mean
from raywf.errors import CodeMissing, DefinitionError


def function_ref(function: Callable[..., Any]) -> FunctionRef:
    """How a function is written down in a definition."""
    module = getattr(function, "__module__", None) or "__main__"
    qualname = getattr(function, "__qualname__", type(function).__name__)
    path = f"{module}:{qualname}"
    by_value = not _is_importable(function, module, qualname)
    return FunctionRef(path, source_hash(function, path, with_closure=by_value), by_value)


def source_hash(function: Callable[..., Any], path: str, *, with_closure: bool = False) -> str:
    """SHA-256 of the function's source text; of its code object where there is no text, else of its name.

    Functions that one factory made have one text: ``with_closure`` tells them apart by what they close over.
    """
    try:
        text = inspect.getsource(function).encode()
    except (OSError, TypeError, SyntaxError, IndexError):
        code = getattr(inspect.unwrap(function), "__code__", None)
        text = _code_bytes(code) if isinstance(code, CodeType) else path.encode()
    if with_closure:
        text += _closure_bytes(function)
    return hashlib.sha256(text).hexdigest()


_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def _closure_bytes(function: Callable[..., Any]) -> bytes:
    values = [
        *(getattr(function, "__defaults__", None) or ()),
        *(getattr(function, "__kwdefaults__", None) or {}).items(),
    ]
    for cell in getattr(function, "__closure__", None) or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            values.append(None)
    return b"".join(_value_bytes(each) for each in values)


def _value_bytes(value: Any) -> bytes:
    """What tells two closed-over values apart and is the same in every process; for most objects only their type."""
    if isinstance(value, (tuple, list)):
        return b"(" + b"".join(_value_bytes(each) for each in value) + b")"
    code = getattr(plain(value), "__code__", None)
    if isinstance(code, CodeType):
        return _code_bytes(code)
    return (
        f"\0{type(value).__qualname__} {value!r}".encode()
        if type(value) in _PLAIN
        else type(value).__qualname__.encode()
    )


def _code_bytes(code: CodeType) -> bytes:
    constants = [_code_bytes(each) if isinstance(each, CodeType) else repr(each).encode() for each in code.co_consts]
    return b"\0".join([code.co_code, *constants, repr(code.co_names).encode()])


def _is_importable(function: Callable[..., Any], module: str, qualname: str) -> bool:
    """Whether another process that imports ``module`` finds this very function there."""
    if module == "__main__" or "<" in qualname:
        return False
    found: Any = sys.modules.get(module)
    if found is None or not _has_file(module):
        return False
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found is function or plain(found) is function


@functools.lru_cache(maxsize=1024)
def _has_file(module: str) -> bool:
    """Whether the import system finds the module again: from a file, or as a part of Python itself."""
    if module in sys.builtin_module_names:
        return True
    parent, _, _ = module.rpartition(".")
    path: Any = None
    if parent:
        if parent not in sys.modules or not _has_file(parent):
            return False
        path = getattr(sys.modules[parent], "__path__", None)
    for finder in sys.meta_path:
        spec = finder.find_spec(module, path) if hasattr(finder, "find_spec") else None
        if spec is not None:
            mine = getattr(sys.modules[module], "__file__", None)
            return mine is None or spec.origin is None or os.path.realpath(mine) == os.path.realpath(spec.origin)
    return False


def plain(found: Any) -> Any:
    """The function behind a ``@task``; anything else as it is."""
    return found.function if getattr(type(found), "_raywf_is_task", False) else found


def resolve_function(ref: FunctionRef) -> Callable[..., Any]:
    """Import ``module:qualname`` and give the plain function. Raises ``CodeMissing`` saying what, where and what to do.

    A by-value function is found only in the program that defined it, and only if its source is still the same.
    """
    module, _, qualname = ref.path.partition(":")
    if ref.by_value:
        return _resolve_here(ref, module, qualname)
    try:
        found: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise CodeMissing(
            f"function {ref.path!r}: the module {module!r} cannot be imported ({type(error).__name__}: {error}). Looked in: "
            f"{', '.join(each or os.getcwd() for each in sys.path[:6])}. Install it, or start from the directory that "
            "holds it."
        ) from error
    for name in qualname.split("."):
        if not hasattr(found, name):
            raise CodeMissing(
                f"function {ref.path!r}: {getattr(found, '__file__', None) or module} has no {name!r}."
                f"{did_you_mean(name, dir(found))} Correct the name, or bring the function back."
            )
        found = getattr(found, name)
    found = plain(found)
    if not callable(found):
        raise CodeMissing(f"{ref.path!r} is not a function but {found!r:.100}: name a function")
    return found  # type: ignore[no-any-return]


def _resolve_here(ref: FunctionRef, module: str, qualname: str) -> Callable[..., Any]:
    found: Any = sys.modules.get(module)
    for name in qualname.split("."):
        found = getattr(found, name, None)
    found = plain(found)
    if callable(found):
        if ref.source_hash in ("", source_hash(found, ref.path, with_closure=True)):
            return found  # type: ignore[no-any-return]
        raise CodeMissing(
            f"function {ref.path!r} has changed since the definition was written: its source is another. Bring the old "
            "function back, or write the definition again."
        )
    raise CodeMissing(
        f"function {ref.path!r} cannot be imported: it was defined in __main__, in a notebook or inside another "
        "function, so only the program that defined it can send it. Connect from that program, or move the "
        "function to the top of a module."
    )


def check_arity(
    who: str, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], *, line: str = ""
) -> None:
    """Raise ``DefinitionError`` when a call with these arguments could not be made."""
    signature = signature_of(function)
    if signature is None:
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        where = f"{line}: " if line else ""
        unknown = str(error).rpartition("'")[0].rpartition("'")[2] if "unexpected keyword" in str(error) else ""
        hint = did_you_mean(unknown, signature.parameters) if unknown else ""
        name = getattr(function, "__name__", "function")
        raise DefinitionError(f"{where}{who}: {error}.{hint} It is defined as {name}{signature}") from None


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature, or None for the few built-in functions that have none."""
    try:
        return _signature(function)
    except (TypeError, ValueError):
        pass
    try:
        return inspect.signature(function)  # a method of an object that has no hash
    except (TypeError, ValueError):
        return None


_signature = functools.lru_cache(maxsize=4096)(inspect.signature)
