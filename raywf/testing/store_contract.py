"""The whole contract of a store: every suite, in one place, so that no store is tried on less than another."""

from __future__ import annotations

from raywf.testing.cache_contract import CacheContract
from raywf.testing.evidence_contract import EvidenceContract
from raywf.testing.journal_contract import JournalContract
from raywf.testing.limits_contract import LimitsContract, SchedulesContract
from raywf.testing.moving_contract import MovingContract
from raywf.testing.sleeping_contract import SleepingContract
from raywf.testing.versions_contract import VersionsContract


class StoreContract(
    JournalContract,
    SleepingContract,
    EvidenceContract,
    LimitsContract,
    SchedulesContract,
    MovingContract,
    CacheContract,
    VersionsContract,
):
    """Everything a ``Journal`` promises. A test class gives the fixture ``opened``."""
