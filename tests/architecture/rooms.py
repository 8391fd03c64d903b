"""The house: which room may import which, and a reader that says which arrow points outwards.

The table below is the one in CONTRIBUTING.md, written so that a machine can check it. Whatever a row does not name is refused, other
people's libraries included: a dependency that spreads is a decision, and this is where it is taken.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WINDOW = "the shop window (raywf/__init__.py)"

# Values and arithmetic. Not here, and that is the point: time, random, secrets, os, io, asyncio, threading, logging, sqlite3, socket.
PURE_STDLIB = frozenset(
    "__future__ abc ast base64 binascii bisect calendar cmath collections contextlib copy dataclasses datetime decimal difflib enum "
    "fractions functools hashlib heapq html inspect ipaddress itertools json keyword math numbers operator re statistics string struct "
    "textwrap traceback types typing unicodedata uuid zlib zoneinfo".split()
)
# Modules that open something or wait for something; a room of definitions has no business with them.
OPENERS = frozenset("asyncio http multiprocessing socket sqlite3 subprocess threading urllib".split())


@dataclass(frozen=True, slots=True)
class Room:
    may: frozenset[str] = frozenset()
    """Rooms it may import; its own modules always."""
    outside: frozenset[str] = frozenset()
    """Other people's libraries it may import anywhere."""
    lazily: frozenset[str] = frozenset()
    """Other people's libraries it may import inside a function, or for type checkers only."""
    stdlib: frozenset[str] | None = None
    """The part of the standard library it may use; None is all of it."""
    never: frozenset[str] = frozenset()
    """The part of the standard library it may not use."""
    eager: frozenset[str] | None = None
    """If set, rooms it may import while it is itself imported; the rest of `may` only inside functions or for type checkers."""
    pure: bool = False
    """Neither asks the clock nor chance, and reads and writes nothing."""


def _room(
    may: str = "",
    outside: str = "",
    *,
    lazily: str = "",
    stdlib: frozenset[str] | None = None,
    never: frozenset[str] = frozenset(),
    eager: str | None = None,
    pure: bool = False,
) -> Room:
    return Room(
        may=frozenset(may.split()),
        outside=frozenset(outside.split()),
        lazily=frozenset(lazily.split()),
        stdlib=stdlib,
        never=never,
        eager=None if eager is None else frozenset(eager.split()),
        pure=pure,
    )


_EVERY_ROOM = (
    "errors config ports telemetry sealing core aggregation definition journal providers runtime actors client cli "
    "dashboard demo testing compat"
)

HOUSE: dict[str, Room] = {
    "core": _room("errors", stdlib=PURE_STDLIB, pure=True),
    "aggregation": _room("core errors", lazily="numpy rapidfuzz scipy pyarrow", stdlib=PURE_STDLIB, pure=True),
    "errors": _room("core", never=OPENERS),
    "config": _room("core errors", never=OPENERS),
    "ports": _room("core errors config", never=OPENERS - {"asyncio"}),
    "telemetry": _room("core errors config", "opentelemetry", never=OPENERS - {"threading"}),
    "sealing": _room("core errors", lazily="cryptography pyarrow", never=OPENERS),
    "definition": _room(
        "core errors aggregation", "pydantic typing_extensions yaml jsonschema", lazily="pyarrow numpy", never=OPENERS
    ),
    "journal": _room("core errors config ports telemetry sealing", "apsw asyncpg tenacity pydantic"),
    "providers": _room("core errors config ports telemetry", "httpx httpx_aiohttp aiohttp tenacity pydantic"),
    "runtime": _room(
        "core errors config ports telemetry sealing definition aggregation",
        "pydantic tenacity cloudpickle",
        lazily="pyarrow numpy jsonschema",
    ),
    "actors": _room(
        "core errors config ports telemetry sealing definition aggregation runtime journal providers",
        "ray pydantic tenacity cloudpickle",
        lazily="pyarrow numpy",
    ),
    "client": _room(
        "core errors config ports telemetry sealing definition runtime journal actors aggregation",
        "pydantic tenacity cloudpickle",
        lazily="pyarrow numpy",
    ),
    "cli": _room(
        "core errors config sealing definition journal client aggregation raywf demo dashboard testing",
        "typer click rich yaml pydantic",
        lazily="pyarrow jsonschema tenacity",
    ),
    "dashboard": _room(
        "core errors config definition journal client aggregation raywf", "starlette uvicorn pydantic rich"
    ),
    "demo": _room(
        "core errors config definition journal client aggregation raywf",
        "rich pydantic",
        lazily="pyarrow numpy py3langid lingua langdetect pycld2",
    ),
    "testing": _room(
        _EVERY_ROOM + " raywf", "pydantic pytest pytest_asyncio hypothesis cloudpickle tenacity", lazily="pyarrow numpy"
    ),
    "compat": _room("core errors config definition client raywf", "ray pydantic"),
    "tasks": _room("core errors config definition", lazily="httpx asyncpg pyarrow"),
    "raywf": _room(_EVERY_ROOM + " tasks", eager="errors"),
}

# A second look at single files: what a room may not do as a whole, one of its files is there to do.
DOORS: dict[str, frozenset[str]] = {"raywf.runtime.ray": frozenset({"ray"})}

# `client -> journal` means the factory and the inbox, `cli -> journal` the read side; how a store works inside is nobody else's concern.
JOURNAL_INSIDE = frozenset("memory sqlite postgres commit group_commit migrations".split())
KEEPS_OUT_OF_JOURNAL_INSIDE = frozenset("client cli dashboard demo compat".split())

_CLOCK_AND_CHANCE = frozenset({("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")})
_IMPURE_NAMES = frozenset({"uuid1", "uuid4", "getnode"})
_IMPURE_BUILTINS = frozenset({"open", "print", "input", "breakpoint"})


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    line: int
    lazy: bool
    """Inside a function: not run when the importing module is."""
    typing_only: bool
    """Under `if TYPE_CHECKING`: never run."""

    @property
    def eager(self) -> bool:
        return not self.lazy and not self.typing_only


@dataclass(frozen=True, slots=True)
class Source:
    module: str
    path: Path
    shown_as: str
    tree: ast.Module
    is_package: bool
    imports: tuple[Import, ...] = field(default=())


def room_of(module: str) -> str:
    """The room a module of ours lives in. `raywf` itself is the shop window; `python -m raywf` is the command line's."""
    parts = module.split(".")
    if len(parts) == 1:
        return "raywf"
    return "cli" if parts[1] == "__main__" else parts[1]


def read_house(root: Path) -> dict[str, Source]:
    """Every module under raywf/ and actors/, by its import name.

    actors/ is walked by itself: whether rglob follows the link raywf/actors depends on the Python version.
    """
    found: dict[str, Source] = {}
    for folder, package in ((root / "raywf", "raywf"), (root / "actors", "raywf.actors")):
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if package == "raywf" and inside.parts[0] == "actors":
                continue
            parts = [package, *inside.with_suffix("").parts]
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            found[module] = Source(module, path, path.relative_to(root).as_posix(), tree, is_package)
    known = frozenset(found)
    return {
        name: Source(s.module, s.path, s.shown_as, s.tree, s.is_package, tuple(_imports(s, known)))
        for name, s in found.items()
    }


def _imports(source: Source, known: frozenset[str]) -> Iterator[Import]:
    package = source.module if source.is_package else source.module.rpartition(".")[0]

    def visit(node: ast.AST, lazy: bool, typing_only: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, lazy, typing_only)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                anchor = package.split(".")
                anchor = anchor[: len(anchor) - node.level + 1]
                base = ".".join([*anchor, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield Import(inner if inner in known else base, node.lineno, lazy, typing_only)
        elif isinstance(node, ast.Call) and (name := _imported_by_call(node)) is not None:
            yield Import(name, node.lineno, lazy, typing_only)

        if isinstance(node, ast.If) and _is_type_checking(node.test):
            for only in node.body:
                yield from visit(only, lazy, True)
            for other in node.orelse:
                yield from visit(other, lazy, typing_only)
            return
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside, typing_only)

    yield from visit(source.tree, False, False)


def _imported_by_call(node: ast.Call) -> str | None:
    """The module in `importlib.import_module("…")` or `__import__("…")`, if it is written out."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
    if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
        value = node.args[0].value
        if isinstance(value, str) and not value.startswith("."):
            return value
    return None


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def violations(root: Path) -> list[str]:
    """Every arrow that points outwards, one line each: where, which arrow, and what would be allowed."""
    house = read_house(root)
    found = [line for source in house.values() for line in _violations_of(source)]
    return found + [_describe_cycle(cycle, house) for cycle in cycles(house)]


def _violations_of(source: Source) -> Iterator[str]:
    name = room_of(source.module)
    room = HOUSE.get(name)
    if room is None:
        yield (
            f"{source.shown_as}:1: there is no room named {name!r}; put the file into a room, or add a row for it to the table here and in "
            f"CONTRIBUTING.md (rooms: {', '.join(sorted(HOUSE))})"
        )
        return
    for imported in source.imports:
        reason = _refusal(source.module, name, room, imported)
        if reason is not None:
            yield f"{source.shown_as}:{imported.line}: {reason}"
    if room.pure:
        for line, what in _impurities(source.tree):
            yield (
                f"{source.shown_as}:{line}: {name} calls {what}; it is pure: the time, an id or a file's content comes in as an argument"
            )


def _refusal(module: str, name: str, room: Room, imported: Import) -> str | None:
    top = imported.module.split(".")[0].replace("pydantic_core", "pydantic")  # one library in two wheels
    if top == "actors":
        return "`import actors` would load a second copy of every class; the name is raywf.actors"
    if top == "raywf":
        return _refusal_at_home(name, room, imported)
    if top in sys.stdlib_module_names:
        if top in room.never or (room.stdlib is not None and top not in room.stdlib):
            allowed = "any other" if room.stdlib is None else ", ".join(sorted(room.stdlib - {"__future__"}))
            return f"{name} → {top} points outwards; of the standard library {name} may import {allowed}"
        return None
    if top in room.outside | DOORS.get(module, frozenset()):
        return None
    if top in room.lazily:
        if not imported.eager:
            return None
        return f"{name} → {top} is allowed inside a function only: whoever does not use it should not pay for it"
    if top == "ray":
        return f"{name} → ray points outwards; Ray is imported in actors/, raywf/runtime/ray.py and raywf/compat/, nowhere else"
    allowed = ", ".join(sorted(room.outside | room.lazily)) or "none"
    return f"{name} → {top} points outwards; of other people's libraries {name} may import {allowed}"


def _refusal_at_home(name: str, room: Room, imported: Import) -> str | None:
    target = room_of(imported.module)
    if target == name:
        return None
    shown = WINDOW if target == "raywf" else target
    if target not in room.may:
        allowed = ", ".join(sorted(room.may)) or "no other room"
        return f"{name} → {shown} points outwards (imports {imported.module}); {name} may import {allowed}"
    if room.eager is not None and imported.eager and target not in room.eager:
        allowed = ", ".join(sorted(room.eager))
        return f"{name} → {shown} costs every `import raywf`; while it is imported {name} may import {allowed}, the rest inside functions"
    if target == "journal" and name in KEEPS_OUT_OF_JOURNAL_INSIDE:
        inner = imported.module.split(".")[2:3]
        if inner and inner[0] in JOURNAL_INSIDE:
            return (
                f"{name} → {imported.module} reaches inside a store; {name} may import what raywf.journal itself offers"
            )
    return None


def _impurities(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name in _IMPURE_NAMES:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner, node.attr) in _CLOCK_AND_CHANCE or node.attr in _IMPURE_NAMES:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _IMPURE_BUILTINS:
            yield node.lineno, f"{node.func.id}()"


def cycles(house: dict[str, Source]) -> list[tuple[str, ...]]:
    """Knots of modules that import each other while being imported (Tarjan's strongly connected components)."""
    graph = {
        name: sorted({i.module for i in source.imports if i.eager and i.module in house and i.module != name})
        for name, source in house.items()
    }
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    knots: list[tuple[str, ...]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in graph[name]:
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            at = stack.index(name)
            knot = stack[at:]
            del stack[at:]
            if len(knot) > 1:
                knots.append(tuple(sorted(knot)))

    for name in graph:
        if name not in index:
            visit(name)
    return knots


def _describe_cycle(knot: tuple[str, ...], house: dict[str, Source]) -> str:
    arrows = "; ".join(
        f"{house[name].shown_as}:{i.line} imports {i.module}"
        for name in knot
        for i in house[name].imports
        if i.eager and i.module in knot and i.module != name
    )
    return f"{house[knot[0]].shown_as}:1: modules import each other in a circle: {arrows}"
