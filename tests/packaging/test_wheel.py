"""What people install is what we tested: the wheel carries every file once, and it works without the checkout.

Built the long way (sdist, then the wheel from the sdist), because that is where a link is lost without a word.
"""

from __future__ import annotations

import email
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel that is built from it, without any network."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def wheel_files(built: tuple[Path, Path]) -> list[str]:
    with zipfile.ZipFile(built[1]) as wheel:
        return wheel.namelist()


@pytest.fixture(scope="module")
def sdist_members(built: tuple[Path, Path]) -> list[tarfile.TarInfo]:
    with tarfile.open(built[0]) as sdist:
        return sdist.getmembers()


def files_that_belong_to_the_package() -> set[str]:
    """Every file of ours below raywf/ and actors/, by its name in the wheel."""
    found = set()
    for folder, name in ((ROOT / "raywf", "raywf"), (ROOT / "actors", "raywf/actors")):
        for path in folder.rglob("*"):
            inside = path.relative_to(folder)
            hidden = any(part.startswith(".") or part == "__pycache__" for part in inside.parts)
            linked = name == "raywf" and inside.parts[0] == "actors"
            if path.is_file() and not hidden and not linked and path.suffix not in (".pyc", ".so"):
                found.add(f"{name}/{inside.as_posix()}")
    return found


def test_every_file_is_in_the_wheel_exactly_once(wheel_files: list[str]) -> None:
    twice = [name for name, times in Counter(wheel_files).items() if times > 1]
    assert not twice
    code = {name for name in wheel_files if ".dist-info/" not in name}
    expected = files_that_belong_to_the_package()
    assert code - expected == set(), "in the wheel, but not ours"
    assert expected - code == set(), "lost on the way"


def test_the_wheel_carries_what_is_easily_forgotten(wheel_files: list[str]) -> None:
    assert "raywf/actors/__init__.py" in wheel_files
    assert "raywf/py.typed" in wheel_files
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in wheel_files)
    if (ROOT / "raywf" / "demo" / "__init__.py").exists():
        assert "raywf/demo/tickets.jsonl" in wheel_files
    assert [n for n in wheel_files if n.endswith(".sql")] == [
        n for n in wheel_files if n.startswith("raywf/journal/") and n.endswith(".sql")
    ]


def test_the_wheel_carries_nothing_else(wheel_files: list[str], built: tuple[Path, Path]) -> None:
    tops = {PurePosixPath(name).parts[0] for name in wheel_files}
    assert tops == {"raywf", f"raywf-{PROJECT['version']}.dist-info"}
    with zipfile.ZipFile(built[1]) as wheel:
        links = [info.filename for info in wheel.infolist() if (info.external_attr >> 28) == 0o12]
    assert not links


def test_the_sdist_can_be_tested_and_holds_no_link(sdist_members: list[tarfile.TarInfo]) -> None:
    inside = {str(PurePosixPath(*PurePosixPath(m.name).parts[1:])) for m in sdist_members}
    assert {"actors/__init__.py", "pyproject.toml", "LICENSE", "README.md", "tests/packaging/test_wheel.py"} <= inside
    assert not [name for name in inside if name.startswith("raywf/actors")]
    assert not [m.name for m in sdist_members if m.issym() or m.islnk()]


def test_the_metadata_says_what_pyproject_says(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        (entry,) = [n for n in wheel.namelist() if n.endswith(".dist-info/entry_points.txt")]
        metadata = email.message_from_bytes(wheel.read(name))
        assert "raywf = raywf.cli.main:main" in wheel.read(entry).decode()
    assert (metadata["Name"], metadata["Version"]) == ("raywf", PROJECT["version"])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == "<3.14,>=3.11"
    assert set(metadata.get_all("Provides-Extra") or []) == {
        "aggregation",
        "cluster",
        "demo",
        "dev",
        "encryption",
        "postgres",
        "test",
    }


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment that holds our wheel; what we depend on is lent by the environment of the tests.

    Lent by a .pth file: Python does not read the .pth files of a lent folder, so an editable install of the checkout stays unseen.
    """
    home = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(built[1])]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True, capture_output=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "lib" / version / "site-packages" / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run(python: Path, code: str, cwd: Path) -> str:
    done = subprocess.run([str(python), "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_installed_wheel_is_what_is_imported(installed: Path, tmp_path: Path) -> None:
    printed = run(
        installed,
        "import raywf, raywf.actors as a; print(raywf.__file__); print(a.__name__); print(a.__file__)",
        tmp_path,
    )
    package, name, actors = printed.splitlines()
    assert Path(package).is_relative_to(installed.parents[1])
    assert name == "raywf.actors"
    assert Path(actors).parent == Path(package).parent / "actors"


def test_every_module_of_the_installed_wheel_can_be_imported(
    installed: Path, wheel_files: list[str], tmp_path: Path
) -> None:
    """Also those that nothing else in the tests happens to reach. The demo's need the extra `demo`, which the tests install."""
    modules = [
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in wheel_files
        if name.endswith(".py") and not name.endswith("__main__.py")
    ]
    code = f"""
import importlib
for name in {modules!r}:
    try:
        importlib.import_module(name)
    except Exception as problem:
        print(f"{{name}}: {{problem!r}}")
"""
    assert run(installed, code, tmp_path) == ""


def test_the_command_is_there(installed: Path, tmp_path: Path) -> None:
    command = installed.with_name("raywf")
    assert command.exists()
    if not (ROOT / "raywf" / "cli" / "main.py").exists():
        pytest.skip("no command line yet")
    done = subprocess.run([str(command), "version"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert PROJECT["version"] in done.stdout
