"""Deletes what workers have written into Redis, so that the next start begins with an empty day."""

from contextlib import AbstractAsyncContextManager, nullcontext

from worker.cli.process import exit_with, hold_feeder_lease
from worker.embedded.server import SOCKET, is_answering
from worker.embedded.temporary import LOG, reach_server
from worker.latest.store import DataFormat, Writer, connect
from worker.reporting.steps import CommandRefused, StepProgress
from worker.settings import WorkerSettings


async def reset_data(settings: WorkerSettings, *, is_confirmed: bool) -> None:
    """Delete it where that `is_confirmed`, or else say how much there is and how to confirm it."""
    async with reach_redis(settings) as address, connect(address, "data-tracker-reset") as redis:
        data = DataFormat(redis)
        if not is_confirmed:
            exit_with(f"{await data.count_keys()} keys would be deleted, and nothing was: to delete them, add --yes", 2)
        await data.release_mark()
        async with hold_feeder_lease(Writer(redis), wait=False):
            print(f"deleted {await data.delete_data()} keys; the archive, rules and silences are kept")
    print("next: scripts/start.sh, which fills the day again")


def reach_redis(settings: WorkerSettings) -> AbstractAsyncContextManager[str]:
    """Return the address of the Redis in the settings. The embedded server is started for as long as it takes."""
    if settings.redis_url:
        return nullcontext(settings.redis_address)
    folder = settings.data_dir.absolute()
    if not is_answering(folder / SOCKET) and not (folder / LOG).is_dir():
        raise CommandRefused(f"there is no database in {folder} (TRACKER_DATA_DIR): nothing in it to use")
    return reach_server(folder, StepProgress().report_step("the database reads its log"))
