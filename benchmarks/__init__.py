"""What raywf costs, beside its peers and beside the limits of the machine.

Every sample is a program of its own: a fresh process with a directory of its own on the disk under test, which prints
one JSON object. `engine.py` starts them one after another in interleaved rounds; nothing here runs two things at once.

    engine      the command line
    catalogue   which rows there are and how each is started
    sample      starts one program, collects what it says, ends what it left behind
    bars        samples -> verdicts;   report  samples -> tables and JSON;   figures  medians, percentiles, ratios, ECE
    machine     what the figures depend on: disk, SQLite, CPU, load
    processes   whose memory is whose (PSS)
    limit, chains, raywf_rows, peer_rows, startup, langid      the programs
    workflows, work, group_commit, private_ray     what the programs run
    make_peers  an environment for each peer

May import raywf (its public names) and ray; nothing imports benchmarks.
"""
