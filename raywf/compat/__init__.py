"""Doors for programs that were written for something else.

What lives here: ``ray_workflow``, the API of Ray's removed workflow library on top of raywf.
What it may import: the client, definitions, core, errors, and Ray, whose graphs it reads.
What is always true: a program that comes through a door gets raywf's promises, and where it was promised something else it
is told so by an error, or on the page of the door (docs/from-ray-workflow.md).
"""
