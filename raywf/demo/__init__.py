"""What `raywf demo` runs: support tickets, four language identifiers that disagree, and a person asked when they do.

`triage.py` is the workflow as a user would write it. Beside it: `identifiers.py` (the sources), `rules.py` (topic and
urgency by keywords), `inputs.py` (reads tickets), `score.py` (compares with the truth), `report.py` (tables), `run.py`
(the engine's side: submit, answer, collect). Only `run.py` needs an engine.

May import: the client, definition, core types, aggregation. Never ray.
Always true: nothing is fetched from anywhere, and every accuracy printed is measured on the tickets just run.
"""
