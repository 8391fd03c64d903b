"""Which store and namespace a command is about, and how to say so in the next one."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from raywf.config import Settings, command_name, shown


@dataclass(frozen=True, slots=True)
class Place:
    """``flags`` is what a next command must repeat: nothing where environment and defaults lead here anyway, and never a
    password, which whoever copies the command has typed before."""

    store: str
    namespace: str
    flags: str

    def command(self, *words: str) -> str:
        """A command line for people to copy, about this place."""
        return f"{command_name()} {shlex.join(words)}{self.flags}"


def place_of(store: str | None, namespace: str, env: Mapping[str, str] | None = None) -> Place:
    """The place that the options name. Raises ``InvalidInput`` for settings that cannot be."""
    env = os.environ if env is None else env
    usual, chosen = Settings.from_env(env).store, Settings.from_env(env, store).store
    flags = "" if chosen == usual else f" --store {shlex.quote(shown(chosen))}"
    if namespace != (env.get("RAYWF_NAMESPACE") or "default"):
        flags += f" --namespace {shlex.quote(namespace)}"
    return Place(chosen, namespace, flags)


def actor_name(by: str | None) -> str:
    """Who acts: as given, else the user's login name."""
    if by:
        return by
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return f"uid-{os.getuid()}"
