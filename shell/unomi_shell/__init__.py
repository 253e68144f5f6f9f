"""
The commands: `unomi-task` for people (`main`) and `unomi-scheduler` for machines (`server`).
"""

from __future__ import annotations
