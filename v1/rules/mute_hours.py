"""The hours of the day in which a rule is recorded and not sent. Pure: the time is an argument."""

from datetime import UTC, datetime
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from .field_types import TimeOfDay


class MuteHours(BaseModel):
    """Hours of the day in which a rule is recorded but not sent."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    start: TimeOfDay
    """The first of them, on the wall: `22:00`."""
    end: TimeOfDay
    """Before `start` where the hours go over midnight."""
    zone: str = "UTC"
    """Time zone, as in `Europe/Berlin`."""

    @field_validator("zone")
    @classmethod
    def _check_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("a time zone's name, as in Europe/Berlin or UTC") from error
        return value

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.start == self.end:
            raise ValueError("end: another time than `start`; a rule that shall never be sent is not `enabled`")
        return self

    @property
    def tz(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


def is_muted(mute: MuteHours, at: int) -> bool:
    """Return whether tick `at` lies in the mute hours, by the clock on the wall of their time zone."""
    wall = datetime.fromtimestamp(at, UTC).astimezone(mute.tz).time()
    if mute.start <= mute.end:
        return mute.start <= wall < mute.end
    return wall >= mute.start or wall < mute.end
