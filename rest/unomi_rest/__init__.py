"""
REST over the public interface of `unomi_scheduler`: one table of routes (`app`) and one of errors (`problems`).
"""

from __future__ import annotations
