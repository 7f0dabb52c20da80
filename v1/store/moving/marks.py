"""
What stands in place of the format's number in a store whose data is moved, and in place of a lease that nobody may have.

    moving from <address>    a part of the data is there, and nobody may use it yet
    moved to <address>       the data is elsewhere now, and nobody may feed or read what is left
"""

_MOVING, _MOVED = "moving from ", "moved to "


def write_moving(source: str) -> str:
    return f"{_MOVING}{source}"


def write_moved(target: str) -> str:
    return f"{_MOVED}{target}"


def is_moving(mark: str | None) -> bool:
    """Return whether what was read says that a move to there was not finished."""
    return mark is not None and mark.startswith(_MOVING)


def is_moved(mark: str | None) -> bool:
    """Return whether what was read says that the data was moved elsewhere."""
    return mark is not None and mark.startswith(_MOVED)


def describe_mark(mark: str) -> str | None:
    """Return what a mark says, and what to do; `None` of what is no mark."""
    if is_moved(mark):
        return f"the data was {mark}: set TRACKER_REDIS_URL to it, and start again"
    if is_moving(mark):
        source = mark.removeprefix(_MOVING)
        return f"the data is moved to there from {source}, and not all of it is there yet: let the move end, or type it again"
    return None
