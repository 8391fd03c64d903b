"""Bundles: which code a process may import for tasks.

A bundle is the client's import roots (the entries of ``sys.path`` outside the installation) with a hash over their .py
files. A workflow actor serves one bundle; a Ray worker that is handed another one forgets the modules of the first, so
two projects with a ``tasks.py`` never meet.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import site
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_FILES = 20_000
_PACKAGES = frozenset({"site-packages", "dist-packages"})
_SKIP = {
    ".git",
    ".hg",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".raywf",
    ".tox",
}


@dataclass(frozen=True, slots=True)
class Bundle:
    """Import roots in order, and a hash over the .py files below them. ``project`` names the roots alone: it stays the
    same when a file is edited."""

    roots: tuple[str, ...]
    hash: str
    project: str


def current_bundle(path: Sequence[str] | None = None) -> Bundle:
    """The bundle of this process."""
    roots = import_roots(sys.path if path is None else path)
    return bundle_of(roots)


def bundle_of(roots: Sequence[str]) -> Bundle:
    """The bundle of these roots as they are on disk now."""
    project = hashlib.sha256("\0".join(_stable(root) for root in roots).encode()).hexdigest()[:12]
    return Bundle(tuple(roots), source_hash(roots), project)


def _stable(root: str) -> str:
    """Ray unpacks a job's files into a directory named by their content: to us that is one and the same project."""
    marker = "/runtime_resources/"
    return "ray-job" if marker in root else root


def import_roots(path: Sequence[str]) -> tuple[str, ...]:
    """The entries of an import path that are the user's own: existing directories outside the installation."""
    installed = _installation()
    roots: dict[str, None] = {}
    for entry in path:
        root = os.path.realpath(entry or os.getcwd())
        if not os.path.isdir(root) or root in roots:
            continue
        if any(root == place or root.startswith(place + os.sep) for place in installed):
            continue
        if _PACKAGES.intersection(Path(root).parts):  # another environment's, laid over this one by a .pth file
            continue
        roots[root] = None
    return tuple(roots)


def _installation() -> set[str]:
    """Directories that belong to Python and its packages, and to raywf itself when it is used from a checkout."""
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")}
    places.update(site.getsitepackages() if hasattr(site, "getsitepackages") else ())
    places.add(site.getusersitepackages())
    places.add(str(Path(__file__).resolve().parents[1]))
    ray = sys.modules.get("ray")
    if ray is not None and ray.__file__:
        places.add(str(Path(ray.__file__).parent))
    return {os.path.realpath(place) for place in places if place}


def source_hash(roots: Sequence[str]) -> str:
    """A hash over path, size and time of change of the .py files below the roots: cheap, and it sees every edit."""
    digest = hashlib.sha256()
    seen = 0
    for root in roots:
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in _SKIP and not name.startswith("."))
            for name in sorted(files):
                if not name.endswith(".py"):
                    continue
                place = os.path.join(folder, name)
                try:
                    stat = os.stat(place)
                except OSError:
                    continue
                digest.update(f"{place}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
                seen += 1
                if seen >= _MAX_FILES:
                    return digest.hexdigest()[:16]
    return digest.hexdigest()[:16]


_entered: Bundle | None = None


def enter_bundle(bundle: Bundle) -> bool:
    """Make this process import from a bundle. True when it served another one (or none) before."""
    global _entered
    if _entered == bundle:
        return False
    if _entered is not None:
        _forget(_entered)
    sys.path[:] = [*(root for root in bundle.roots if root not in sys.path), *sys.path]
    importlib.invalidate_caches()
    _entered = bundle
    return True


def _forget(bundle: Bundle) -> None:
    roots = tuple(root + os.sep for root in bundle.roots)
    sys.path[:] = [entry for entry in sys.path if entry not in bundle.roots]
    for name, module in list(sys.modules.items()):
        if name != "raywf" and not name.startswith("raywf.") and _lies_below(module, roots):
            del sys.modules[name]


def _lies_below(module: Any, roots: tuple[str, ...]) -> bool:
    """Whether a module was found below the roots. A package without an ``__init__`` has only a path."""
    places = [getattr(module, "__file__", None) or ""]
    if not places[0]:
        places = [str(each) for each in getattr(module, "__path__", None) or ()]
    return any(os.path.realpath(place).startswith(roots) for place in places if place)
