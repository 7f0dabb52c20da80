"""Rules tried on history: what they would have said, and how often, before anybody is told. Pure."""

from .play import Played, Trial, play, ticks_of
from .report import report

__all__ = ["Played", "Trial", "play", "report", "ticks_of"]
