"""The command line: what `raywf …` does.

What lives here: the commands (`commands/`, thin: arguments in, exit code out), what they show (tables, progress,
drawings) and the Ray of `raywf up`.
What it may import: client, definition, core, aggregation, the journal's factory, errors, config, demo. Never Ray:
whoever needs one gets it from `raywf.client.connect`.
What is always true: data goes to stdout and progress to stderr; a command that reads starts nothing, writes nothing
and imports no Ray; an error is one line that says which and where, and its exit code is the one in `exits.py`.
"""
