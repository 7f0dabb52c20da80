"""Workers: who shares the market, which partitions and sources each has, and which partitions nobody has."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from ..numbers import exact_json
from ..store.sharing.members import SeenWorker, list_free
from .context import Context
from .params import NoParams
from .response_docs import AWAY, NOT_ACCEPTED
from .responses import respond_changed

router = APIRouter(tags=["workers"])


class WorkerView(BaseModel):
    """A worker that shares the market, as it last said."""

    name: Annotated[str, Field(description="The host, its container, the process and when that began.")]
    host: str
    pid: Annotated[int, Field(description="Its process on that host.")]
    since: Annotated[int, Field(description="When it began, unix seconds.")]
    version: str
    is_alive: Annotated[bool, Field(description="Whether it was heard of within the time of its leases.")]
    silent_seconds: Annotated[float, Field(description="For how long it has not been heard of.")]
    lease_seconds: Annotated[int, Field(description="After so long the others take its partitions.")]
    is_asking: Annotated[
        bool,
        Field(
            description="Whether it hands out the ticks, and does what is done once for all: fills, archive, alerts, top list."
        ),
    ]
    partitions: Annotated[list[str], Field(description="Those that it commits, by the tags of their keys.")]
    tick: Annotated[int | None, Field(description="The newest tick that it has committed; null before the first.")]
    behind: Annotated[list[str], Field(description="Those of its partitions that are not at that tick.")]
    interval: Annotated[int, Field(description="Seconds between two of its ticks; 0: a version that does not say.")]
    settings: Annotated[
        dict[str, str],
        Field(description="What else it was started with that is to be the same of all; long values by their digest."),
    ]
    sources: Annotated[list[str], Field(description="The sources that it asks at each tick.")]
    avoided: Annotated[
        list[str], Field(description="Sources that it did not reach, and leaves to others for some minutes.")
    ]


class WorkerList(BaseModel):
    """The workers that share the market."""

    partitions: Annotated[
        int, Field(description="Into how many parts the data is divided; 0: it is not, and not shared.")
    ]
    free: Annotated[
        list[str], Field(description="Partitions that no worker has that is alive; none where nobody shares.")
    ]
    workers: Annotated[list[WorkerView], Field(description="Those heard of in the last ten minutes, by name.")]


@router.get(
    "/workers",
    summary="Who shares the market",
    operation_id="list_workers",
    response_model=WorkerList,
    responses=NOT_ACCEPTED | AWAY,
)
async def list_workers(_: Annotated[NoParams, Query()], context: Context) -> Response:
    """
    The workers that share the market of a cluster, which of its partitions each commits, and which sources it asks.

    With `TRACKER_SHARE` every worker says so about once a second. Where nobody shares, the list is empty.
    """
    members = context["members"]
    workers, tags = await members.read_all(), members.list_tags()
    body = {
        "partitions": len(tags),
        "free": list_free(tags, workers),
        "workers": [_show(each) for each in workers],
    }
    return respond_changed(exact_json.dumps(body))


def _show(worker: SeenWorker) -> dict[str, Any]:
    note = worker.note._asdict() | {"settings": dict(worker.note.settings)}
    note |= {"is_alive": worker.is_alive, "silent_seconds": round(worker.silent_seconds, 1)}
    return {name: note[name] for name in WorkerView.model_fields}
