"""
What `benchmarks.pickup` and its nodes call the same.
"""

TYPE = "pickup"
LOG_VARIABLE = "PICKUP_LOG"
