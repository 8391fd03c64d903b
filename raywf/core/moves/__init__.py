"""What events change, by idea: the moves that ``core.execution`` makes on a draft of the state.

``draft`` is a state while one event is applied to it; ``tasks`` the life of a task and whom its end wakes; ``branches``
fan-outs and conditions; ``voices`` what attempts say before they end; ``waits`` time, signals and persons; ``closing`` the
way to an end. Only ``core.execution`` decides which move an event is; what an event needs of the state is checked in the
move.
"""
