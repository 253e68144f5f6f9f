"""
The service: the `Scheduler` and its parts (making, changing and reading tasks; wiring; purge).
"""

from .bulk import BulkResult as BulkResult
from .bulk import Selection as Selection
from .changing import Edited as Edited
from .creation import NotAllScheduled as NotAllScheduled
from .everywhere import NodeRun as NodeRun
from .observing import Observation as Observation
from .scheduler import Scheduler as Scheduler
from .together import BulkAction as BulkAction
from .watch import Change as Change
from .watch import ChangeKind as ChangeKind
from .watch import Watch as Watch
