"""``@raywf.template``: one body, many workflows. What varies is fixed before the graph is built: ``if`` and ``for`` may use it."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import types
from collections.abc import Callable
from typing import Any, Final

from pydantic import ValidationError

from raywf.definition.lines import did_you_mean, user_line
from raywf.definition.parameters import NO_DEFAULT, Parameter, parameters_of
from raywf.definition.references import Expression
from raywf.definition.values import encode
from raywf.definition.workflows import Workflow
from raywf.definition.workflows import workflow as as_body
from raywf.errors import DefinitionError, RaywfError

OWN: Final = ("id", "version", "description")


class Template:
    """A body with parameters of two kinds: the keyword-only ones make a workflow, the others are its inputs."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__
        parameters = parameters_of(function)
        self.parameters = {each.name: each for each in parameters if each.keyword_only}
        who = f"{user_line()}: template {self.name!r}"
        if not self.parameters:
            raise DefinitionError(
                f"{who} has no parameters of its own: those after a `*` make the workflow, as in "
                f"def {self.name}(question: str, *, rounds: int = 3). Without any, it is a @workflow"
            )
        for name in self.parameters:
            if name in OWN:
                raise DefinitionError(
                    f"{who} has a parameter {name!r}, which says what the workflow is called: rename it"
                )

    def __call__(
        self, *, id: str | None = None, version: str = "1", description: str | None = None, **given: Any
    ) -> Workflow[..., Any]:
        """The workflow for these parameters. Its id is ``id``, else the template's name and what tells the parameters from the
        defaults. Raises ``DefinitionError`` for a parameter that is unknown, missing or of the wrong type."""
        who = f"{user_line()}: template {self.name!r}"
        for name in given:
            if name not in self.parameters:
                inputs = (
                    ", which is an input of the workflow: give it to run or submit" if name in self._inputs() else ""
                )
                raise DefinitionError(
                    f"{who} has no parameter {name!r}{inputs}.{did_you_mean(name, self.parameters)} Parameters are "
                    f"{', '.join(self.parameters)}."
                )
        fixed = {name: self._value(who, each, given) for name, each in self.parameters.items()}
        function = self._fixed(fixed)
        return as_body(id=id or self._id(fixed), version=version, description=description)(function)

    def _inputs(self) -> list[str]:
        return [each.name for each in parameters_of(self.function) if not each.keyword_only]

    def _value(self, who: str, parameter: Parameter, given: dict[str, Any]) -> Any:
        name = parameter.name
        if name not in given:
            if parameter.default is NO_DEFAULT:
                raise DefinitionError(f"{who}: parameter {name!r} is missing: {self.name}({name}=…)")
            return parameter.default
        value = given[name]
        if isinstance(value, Expression):
            raise DefinitionError(
                f"{who}: parameter {name!r} is given a value that is there only when the workflow runs: make it an input, "
                "before the `*`"
            )
        if parameter.adapter is None:
            return value
        try:
            return parameter.adapter.validate_python(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = "".join(f"[{step!r}]" for step in first["loc"])
            raise DefinitionError(
                f"{who}: parameter {name!r}{place}: {first['msg']}, not {first['input']!r:.80}"
            ) from None

    def _fixed(self, fixed: dict[str, Any]) -> Callable[..., Any]:
        """The same code with the parameters as its defaults, so that lines and names in errors stay those of the template."""
        body = self.function
        function = types.FunctionType(
            body.__code__, body.__globals__, body.__name__, body.__defaults__, body.__closure__
        )
        functools.update_wrapper(function, body)
        del function.__wrapped__  # type: ignore[attr-defined]
        function.__kwdefaults__ = fixed
        inputs = [each for each in inspect.signature(body).parameters.values() if each.kind is not each.KEYWORD_ONLY]
        function.__signature__ = inspect.Signature(inputs)  # type: ignore[attr-defined]
        return function

    def _id(self, fixed: dict[str, Any]) -> str:
        other = {name: value for name, value in fixed.items() if self.parameters[name].default is not value}
        if not other:
            return self.name
        return f"{self.name}-{hashlib.sha256(_text(other)).hexdigest()[:8]}"

    def __repr__(self) -> str:
        return f"<template {self.name} of {', '.join(self.parameters)}>"


def _text(values: dict[str, Any]) -> bytes:
    """What is the same for equal values in every process."""
    parts = {}
    for name, value in values.items():
        try:
            parts[name] = encode(value).decode()
        except RaywfError:
            parts[name] = getattr(value, "__qualname__", type(value).__qualname__)  # a task, a function, a class
    return json.dumps(parts, sort_keys=True).encode()


def template(function: Callable[..., Any]) -> Template:
    """Mark a body whose keyword-only parameters are fixed when a workflow is made of it: ``strict = review(rounds=5)``.

    Raises ``DefinitionError`` for what cannot be a template.
    """
    if not inspect.isfunction(function):
        raise DefinitionError(f"{user_line()}: @raywf.template takes a plain def, not {function!r:.80}, and no options")
    return Template(function)
