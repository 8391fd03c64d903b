"""Deterministic simulation: the real engine in a world where time, chance, disks, networks and deaths are made up.

::

    scenario (a seed, some workflows, a schedule of faults)
        -> World: one thread, one true time, processes whose loops take turns by the seed
             client.Lane ── calls ── Service ─ Owner ─ Host ─ brain ── GroupCommit ──> the store's twin in memory
             Supervisor ── starts, adopts, kills, replaces ──┘                              │
        -> Judge: looks at every commit, claim, attempt and answer, and knows more than any process does

What is real: the brain, the host, the commit buffer, owners, leases, recovery, sleeping, chunks, the service around an
owner, the supervisor, the client's lane. What is made up is behind a door that they have anyway. docs/simulation.md says how
to run it and how to read a seed that went wrong.

Authority: the judge's fold of what is on disk, never what a process believes. Failure: the first violation ends the run;
the same scenario gives the same run, so nothing else needs to be kept.
"""
