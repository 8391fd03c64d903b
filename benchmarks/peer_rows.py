"""Where the peers live and how their programs are started; a peer without an environment is named and skipped."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = Path(__file__).parent / ".peers"
PROGRAMS = Path(__file__).parent / "peers"
BUILD_THEM = "python benchmarks/make_peers.py"


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    package: str
    program: str = "chain"
    closed: bool = False
    """Installed with exactly what its file names, and none of the dependencies it declares."""

    @property
    def requirements(self) -> Path:
        return PROGRAMS / self.name / "requirements.txt"

    @property
    def python(self) -> Path:
        return ENVIRONMENTS / self.name / "bin" / "python"

    def command(self, *arguments: str) -> list[str]:
        return [str(self.python), str(PROGRAMS / self.name / f"{self.name}_{self.program}.py"), *arguments]

    def missing(self) -> str | None:
        """Why its rows cannot run here, or None."""
        if not self.python.exists():
            return f"no environment for {self.name}: `{BUILD_THEM} {self.name}` builds it"
        if subprocess.run(
            [str(self.python), "-c", f"import {self.package}"], capture_output=True, check=False
        ).returncode:
            return (
                f"the environment of {self.name} cannot import {self.package}: `{BUILD_THEM} {self.name}` rebuilds it"
            )
        return None


DBOS = Peer("dbos", "dbos")
LANGGRAPH = Peer("langgraph", "langgraph.checkpoint.sqlite")
CROWDKIT = Peer("crowdkit", "crowdkit.aggregation", "dawid_skene", closed=True)
SAYIIR = Peer("sayiir", "sayiir")
PEERS = {peer.name: peer for peer in (DBOS, LANGGRAPH, SAYIIR, CROWDKIT)}
