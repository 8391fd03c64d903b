"""The shop window of raywf: its public names, loaded when they are first used. ``import raywf`` starts nothing."""
