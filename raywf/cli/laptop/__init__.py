"""The Ray of `raywf up`: started in a session of its own, recorded process by process, ended by that record only."""
