"""Encryption: a store whose files show nothing, and a key that is exchanged.

    python examples/gallery/encryption.py

prints::

    dear Ada Lovelace: blood group A
    in the store's files: nothing of it
    without the key: completed, but encrypted with key '2026-11'
    rotated: 4 values under '2027-01', 0 left under the old key
    with the new key alone: dear Ada Lovelace: blood group A

The same from the shell: `raywf keys new ID`, `raywf keys rotate`, `raywf keys ls`, with RAYWF_KEYS=file:/path/to/keys.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import raywf
from raywf import task, workflow


@task
def write(name: str, group: str) -> str:
    return f"dear {name}: blood group {group}"


@workflow
def letter(name: str, group: str) -> str:
    return write(name, group)


def cli(*words: str, keys: Path | None = None) -> str:
    """What `raywf …` prints: data, else the one line that says what is wrong."""
    env = {name: value for name, value in os.environ.items() if name != "RAYWF_KEYS"}
    if keys is not None:
        env["RAYWF_KEYS"] = f"file:{keys}"
    done = subprocess.run([sys.executable, "-m", "raywf", *words], env=env, capture_output=True, text=True)
    return done.stdout or done.stderr


def main(folder: Path) -> None:
    store, keys = f"sqlite:///{folder}/raywf.db", folder / "keys"
    old = cli("keys", "new", "2026-11")
    keys.write_text(old)
    codec = raywf.Codec(compress="zstd", keys=f"file:{keys}")
    with raywf.connect(store=store, codec=codec) as engine:
        print(engine.submit(letter, "Ada Lovelace", "A", execution_id="letter-1").result())

    told = [path.name for path in folder.glob("raywf.db*") if path.is_file() and b"Ada" in path.read_bytes()]
    print(f"in the store's files: {told or 'nothing of it'}")
    status = cli("show", "letter-1", "--store", store).split()[1]
    why = cli("result", "letter-1", "--store", store).removeprefix("raywf: ").partition(",")[0]
    print(f"without the key: {status}, but {why}")

    keys.write_text(cli("keys", "new", "2027-01") + old)  # the new one encrypts, the old one still decrypts
    cli("keys", "rotate", "--store", store, keys=keys)
    counts = cli("keys", "ls", "--store", store, keys=keys).split()
    print(
        f"rotated: {counts[1]} values under {counts[0].rstrip(':')!r}, {counts.count('2026-11:')} left under the old key"
    )

    keys.write_text(keys.read_text().splitlines()[0])  # the old one may go
    with raywf.connect(store=store, codec=codec) as engine:
        print(f"with the new key alone: {engine.get('letter-1').result()}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder))
