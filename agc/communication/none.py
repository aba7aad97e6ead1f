"""One worker."""

from __future__ import annotations

from agc.communication.base import Communication
from agc.registry import COMMUNICATION


@COMMUNICATION.register("none", source="", bits="–", state="–")
class NoCommunication(Communication):
    """The whole batch is one worker's: nobody sends anything."""
