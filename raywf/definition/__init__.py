"""Definitions: what a user writes becomes a graph, and the graph is data.

What lives here: ``@task`` and ``@workflow``, references and templates, ``when`` and its kin, the trace that turns a body
into a graph, ``WorkflowDefinition`` with its JSON, YAML and Mermaid forms, the checks, the compiler to a plan, inputs,
and the encoding of values.
What it may import: ``core``, ``errors``, pydantic; yaml and jsonschema where they are needed. Never a store, an engine
or Ray.
What is always true: nothing here runs a task, opens a connection or knows an execution. One representation leads to
the next, and never back::

    body --trace--> data (JSON with $ref) --validate--> WorkflowDefinition --compile--> core.plan.Plan
                          ^
    JSON, YAML -----------+

A mistake raises ``DefinitionError`` here, before anything runs.
"""
