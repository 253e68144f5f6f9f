"""
The service: the `Scheduler` and its parts (making, changing and reading tasks; wiring; purge).
"""

from .changing import Edited as Edited
from .creation import NotAllScheduled as NotAllScheduled
from .scheduler import Scheduler as Scheduler
