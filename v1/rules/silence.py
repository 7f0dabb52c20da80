"""When an alert is recorded but not sent: somebody asked for silence, or the rule's mute hours. Pure."""

from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .rule import Mute


class Silence(BaseModel):
    """No message about the metrics of a pattern for a while."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    metrics: Annotated[str, Field(min_length=1, max_length=120)] = "*"
    rule: str = "*"
    """Pattern of the rules' ids."""
    start: Annotated[int, Field(ge=0, lt=10**10)]
    """Unix seconds."""
    end: Annotated[int, Field(ge=0, lt=10**10)]
    """Unix seconds; itself not silent any more."""
    comment: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.end <= self.start:
            raise ValueError(f"end: {self.end} is not after the start")
        return self

    def covers(self, rule: str, metric: str, at: int) -> bool:
        return (
            self.start <= at < self.end and fnmatchcase(metric, self.metrics.upper()) and fnmatchcase(rule, self.rule)
        )


def is_muted(mute: Mute, at: int) -> bool:
    """Tell whether tick `at` lies in the mute hours, by the clock on the wall of their time zone."""
    wall = datetime.fromtimestamp(at, UTC).astimezone(mute.tz).time()
    if mute.start <= mute.end:
        return mute.start <= wall < mute.end
    return wall >= mute.start or wall < mute.end
