"""`ray up cluster.yaml` fails late and on other people's machines, so the file is checked here by Ray's own rules. Starts no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "cluster.yaml").read_text(encoding="utf-8")


def variant(name: str) -> dict[str, Any]:
    """The file as it stands, or the AWS half that it carries in comments."""
    text = TEXT
    if name == "aws":
        text = "\n".join(line.removeprefix("#: ") for line in TEXT.splitlines() if line.startswith("#: "))
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def prepared(config: dict[str, Any], directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What `ray up` makes of it, by the steps it takes before it touches any machine."""
    from ray.autoscaler._private import util
    from ray.autoscaler._private.local import config as local

    # The state of a cluster of one's own machines is kept in a file; it belongs to this test only.
    monkeypatch.setattr(local, "get_state_path", lambda _name: str(directory / "cluster.state"))
    monkeypatch.setattr(local, "get_lock_path", lambda _name: str(directory / "cluster.lock"))
    result: dict[str, Any] = util.prepare_config(config)
    util.validate_config(result)
    return result


@pytest.mark.parametrize("name", ["local", "aws"])
def test_ray_accepts_the_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = prepared(variant(name), tmp_path, monkeypatch)
    assert config["provider"]["type"] == name
    assert config["head_node_type"] in config["available_node_types"]


def test_ray_refuses_a_word_it_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the check above is worth something."""
    with pytest.raises(Exception, match="worker_nodez"):
        prepared({**variant("local"), "worker_nodez": {}}, tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["local", "aws"])
def test_every_node_installs_this_version_with_the_versions_tested_together(name: str) -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    commands = " ".join(variant(name)["setup_commands"])
    assert f"raywf[cluster]=={project['version']}" in commands
    assert "cluster" in project["optional-dependencies"]
    assert "-c ~/raywf-dist/constraints.txt" in commands
    assert set(variant(name)["file_mounts"].values()) == {"dist", "~/.ray/auth_token"}


@pytest.mark.parametrize("name", ["local", "aws"])
def test_the_head_keeps_its_cpus_and_nobody_joins_without_the_token(name: str) -> None:
    config = variant(name)
    assert "--num-cpus=0" in str(config) or config["available_node_types"]["head"]["resources"] == {"CPU": 0}
    starts = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    assert all("RAY_AUTH_MODE=token" in command for command in starts if "ray start" in command)
