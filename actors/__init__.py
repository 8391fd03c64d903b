"""The actors: thin Ray shells around the loop in `raywf.runtime`, imported as `raywf.actors`.

Lives here: the classes that Ray starts as actors and the functions it runs as Ray tasks. A shell owns a mailbox and a lifetime; what
it decides, it asks `core`; what it does, it asks `runtime`.
May import: core, aggregation, ports, runtime, journal and providers (through their factories), definition, telemetry, config, errors,
and ray. Never: client, cli, dashboard, testing.
Always true: an actor class is a plain class and can be built without Ray; nothing here is the only holder of a fact, because every
actor may vanish at any line and the journal goes on without it.

The folder is at the top of the repository and the link `raywf/actors` gives it its name. Edit and `git add` under `actors/`.
"""

if __name__ != "raywf.actors":
    raise ImportError(
        f"this package was imported as {__name__!r}; import it as 'raywf.actors'. "
        "Under two names every class in it would exist twice, and isinstance and unpickling would fail far from here."
    )
