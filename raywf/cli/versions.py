"""Versions of what raywf stands on, without importing it."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

import raywf


def versions() -> dict[str, str | None]:
    """Name -> version; None for what is not installed. apsw's version begins with that of the SQLite in it."""
    return {
        "raywf": raywf.__version__,
        "python": platform.python_version(),
        "ray": version_of("ray"),
        "sqlite": sqlite_version(version_of("apsw")),
        "pydantic": version_of("pydantic"),
    }


def version_of(package: str) -> str | None:
    try:
        return installed(package)
    except PackageNotFoundError:
        return None


def sqlite_version(apsw: str | None) -> str | None:
    """``3.54.1.0`` -> ``3.54.1``."""
    return None if apsw is None else ".".join(apsw.split(".")[:3])
