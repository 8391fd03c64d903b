"""``raywf.secret``: a value that is named where a workflow is written and looked up where a task runs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from raywf.errors import DefinitionError, PermissionDenied

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True)
class Secret:
    """The environment variable ``name`` of whoever runs the task, put in the place of ``{}`` in ``template``.

    Definitions and histories hold the name and never the value. It cannot become text by accident: ``str()``, f-strings
    and ``+`` raise. Raises ``DefinitionError`` for what is not the name of a variable.
    """

    name: str
    template: str = "{}"

    def __post_init__(self) -> None:
        given: Any = self.name
        if not isinstance(given, str) or not _NAME.match(given):
            raise DefinitionError(
                f"secret({_hint(given)}) takes the *name* of an environment variable, as in secret('API_TOKEN'): the value "
                "itself would be in the definition and in every history"
            )
        if not isinstance(self.template, str) or self.template.count("{}") != 1:  # type: ignore[redundant-expr]
            raise DefinitionError(
                f"secret({self.name!r}, template=…) needs exactly one '{{}}' where the value goes, as in template='Bearer {{}}'"
            )

    def reveal(self) -> str:
        """The value, in the process that runs the task. Raises ``PermissionDenied`` where there is none."""
        value = os.environ.get(self.name)
        if not value:
            raise PermissionDenied(
                f"the secret {self.name!r} is not in the environment of the process that runs this task: set it where the "
                "workers start (for Ray: in the cluster's environment or the job's runtime_env), then run it again"
            )
        return self.template.replace("{}", value)

    def _no_text(self, *args: Any) -> NoReturn:
        raise DefinitionError(
            f"secret({self.name!r}) cannot become part of a text here, because the text would be stored: write "
            f"raywf.secret({self.name!r}, template='Bearer {{}}') and hand it over as it is"
        )

    __str__ = _no_text
    __format__ = _no_text
    __add__ = _no_text
    __radd__ = _no_text

    def __repr__(self) -> str:
        return f"secret({self.name!r})"


def _hint(given: object) -> str:
    """What was given, in case it is the secret itself: only its beginning."""
    return repr(given) if not isinstance(given, str) else repr(given[:4] + "…")


def secret(name: str, *, template: str = "{}") -> Secret:
    """A value that is looked up in the environment variable ``name`` where it is used, and stored nowhere.

    ``template`` says what is around it: ``secret("TOKEN", template="Bearer {}")``. Raises ``DefinitionError``.
    """
    return Secret(name, template)
