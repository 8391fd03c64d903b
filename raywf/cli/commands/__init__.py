"""The commands: what they take, and which exit code they end with. What they show and do is in the modules above.

Each imports what it needs inside itself: `raywf --help` shows them all and should not wait for any.
"""
