"""Workers that share a real cluster, each a process: what they say of each other, and what they refuse."""

import signal
import socket
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from tests.support.cluster import RunningCluster
from tests.support.crew import Mate
from tests.support.serving import Clock, serving
from tests.worker.test_commands import Start, eventually, start
from v1.rules import NO_RULES
from v1.store import Lease, connect, keys
from v1.store.places import get_places
from v1.store.server_report import read_server_report
from v1.store.sharing.agreement import IntervalDiffers, name_worker
from v1.store.sharing.members import Members, WorkerNote
from worker.cli.doctor.findings import Finding, FindingLevel
from worker.cli.doctor.stored import check_redis, judge_sharing
from worker.sampling.lease import SHARES
from worker.settings import WorkerSettings

__all__ = ["start"]  # a fixture

LASTING = 600
HOST = socket.gethostname()
OTHER = WorkerNote(
    "elsewhere:7:1", "elsewhere", 7, 0, "1.0", LASTING, interval=60, settings={"TRACKER_METRICS": "A:BUSD"}
)


@pytest.fixture
async def store(cluster: RunningCluster) -> AsyncIterator[Redis]:
    async with connect(cluster.url, "tests") as redis:
        yield redis
    await cluster.flush()


@pytest.fixture
def sharing(cluster: RunningCluster) -> dict[str, str]:
    """The settings of a worker that shares a market that is made up here."""
    return {
        "REDIS_URL": cluster.url,
        "SHARE": "yes",
        "SOURCES": "simulated",
        "METRICS": "SIMULATED:BTCUSD,SIMULATED:ETHUSD",
        "WORKER_METRICS_BIND": "",
    }


async def is_alive(redis: Redis, pid: int) -> bool:
    return any(each.note.pid == pid for each in await Members(redis).read_all())


@pytest.mark.usefixtures("store")
async def test_the_second_worker_says_that_it_shares_and_what_it_takes_over(sharing: dict[str, str], start: Start):
    first = start(**sharing)
    await first.says("sampling")

    second = start(**sharing)
    await second.says(SHARES)

    assert "standing by" not in second.said
    assert "stop it first" not in second.said
    first.stop(signal.SIGKILL)
    first.process.wait()
    await second.says("sampling")
    second.stop()
    assert await second.ended() == 0


async def test_one_that_shares_says_that_another_does_not(store: Redis, sharing: dict[str, str], start: Start):
    await eventually_fed_alone(store)

    worker = start(**sharing)

    await worker.says("elsewhere:7:1 feeds this cluster alone: start it with TRACKER_SHARE=yes, too")


async def test_one_that_does_not_share_is_told_that_it_could(store: Redis, sharing: dict[str, str], start: Start):
    await eventually_fed_alone(store)

    worker = start(**sharing | {"SHARE": "no"})

    await worker.says("and this worker takes over when it ends; with TRACKER_SHARE=yes for both they share its metrics")


async def eventually_fed_alone(redis: Redis) -> None:
    """Have a worker that does not share feed the cluster."""
    lease = Lease(redis)
    lease.seconds = LASTING
    assert await lease.take_or_keep(OTHER.name) is None


async def test_a_worker_of_another_interval_is_refused_and_those_that_run_are_not_disturbed(
    store: Redis, sharing: dict[str, str], start: Start
):
    first = start(**sharing)
    await eventually(lambda: is_alive(store, first.process.pid), first)

    second = start(**sharing | {"INTERVAL": "5"})

    assert await second.ended() == 1
    assert second.said.splitlines()[-1] == (
        f"TRACKER_INTERVAL is 5 here, and 60 of the worker that feeds the cluster already, process {first.process.pid} on "
        f"{HOST}: all that share the market have the same; set TRACKER_INTERVAL=60 here, or stop all workers and start "
        "them with the other"
    )
    assert not await is_alive(store, second.process.pid)
    assert first.process.poll() is None


async def test_whoever_was_there_before_goes_on_when_one_of_another_interval_comes(store: Redis):
    before, after = (make_mate(store, name, interval) for name, interval in (("before", 60), ("after", 5)))
    await before.membership.renew()

    with pytest.raises(IntervalDiffers):
        await after.membership.renew()
    await before.membership.renew()

    assert before.leases.held == {*get_places(store).list_tags()}
    assert [each.note.name for each in await Members(store).read_all()] == ["before"]


async def test_other_settings_that_differ_are_said_and_refuse_nothing(store: Redis):
    await Members(store).report(OTHER)
    note = OTHER._replace(name="here", host="here", settings={"TRACKER_METRICS": "A:BUSD,A:CUSD"})
    mate = make_mate(store, "here", 60, note)

    with capture_logs() as logs:
        await mate.membership.renew()
        await mate.membership.renew()

    (told,) = [entry["event"] for entry in logs if entry["log_level"] == "warning"]
    assert told == (
        f"workers that share the market differ in TRACKER_METRICS: A:BUSD of {name_worker(OTHER)}; A:BUSD,A:CUSD of "
        f"{name_worker(note)}; start all of them with the same settings"
    )


def make_mate(redis: Redis, name: str, interval: int, note: WorkerNote = OTHER) -> Mate:
    mate = Mate(redis, name, NO_RULES)
    mate.membership._note = note._replace(name=name, interval=interval)
    return mate


@pytest.mark.parametrize("words", [("verify",), ("reset", "--yes")], ids=" ".join)
async def test_what_takes_the_cluster_alone_names_all_workers_that_share_it(
    words: tuple[str, ...], store: Redis, sharing: dict[str, str], start: Start
):
    for number in (7, 8):
        await Members(store).report(OTHER._replace(name=f"elsewhere:{number}:1", pid=number))

    command = start(*words, **sharing)

    assert await command.ended() == 1
    assert command.said.splitlines()[-1] == (
        "2 workers share this cluster (process 7 on elsewhere, process 8 on elsewhere), and this takes it alone: "
        "stop all of them first"
    )


async def test_a_worker_of_this_machine_that_was_killed_refuses_nothing(
    store: Redis, sharing: dict[str, str], start: Start
):
    killed = start(**sharing)
    await eventually(lambda: is_alive(store, killed.process.pid), killed)
    killed.stop(signal.SIGKILL)
    killed.process.wait()
    for tag in get_places(store).list_tags():
        await store.delete(keys.feeder(tag))
    await store.delete(keys.LEASE)

    verify = start("verify", **sharing)

    assert await verify.ended() == 0


async def test_health_and_doctor_say_what_workers_differ_in(store: Redis, cluster: RunningCluster):
    await Members(store).report(OTHER)
    await Members(store).report(OTHER._replace(name="b:8:1", host="b", pid=8, interval=5))
    differ = "TRACKER_INTERVAL: 5 of process 8 on b; 60 of process 7 on elsewhere"

    async with serving(Clock(), cluster.url) as api:
        reasons = (await api.get("/health/ready")).json["reasons"]
        shown = (await api.get("/v1/workers")).json["workers"]
    found = await look(cluster, interval=60)

    assert any(differ in reason for reason in reasons)
    assert any("TRACKER_INTERVAL is 60 here, and 5 of the workers" in reason for reason in reasons)
    assert [(each["interval"], each["settings"]) for each in shown] == [(5, OTHER.settings), (60, OTHER.settings)]
    assert any(each.level is FindingLevel.WARNING and differ in each.text for each in found)


async def test_doctor_says_how_a_cluster_is_fed(store: Redis, cluster: RunningCluster):
    tags = get_places(store).list_tags()
    (nobody,) = await look(cluster)
    await Members(store).report(OTHER._replace(partitions=tags))
    (one,) = await look(cluster)
    await Members(store).report(OTHER._replace(partitions=tags[1:]))
    (missing,) = await look(cluster)
    await Members(store).remove(OTHER.name)
    await eventually_fed_alone(store)
    (alone,) = await look(cluster)

    assert nobody.text == f"none: the cluster has {len(tags)} partitions, and nobody feeds them"
    assert one.text == f"1 worker has the {len(tags)} partitions of the cluster"
    assert (missing.level, missing.text) == (
        FindingLevel.PROBLEM,
        f"1 of {len(tags)} partitions have no worker, and ticks wait",
    )
    assert alone.text.endswith(f"feeds all {len(tags)} partitions; with TRACKER_SHARE=yes several share them")


async def look(cluster: RunningCluster, interval: int = 60) -> list[Finding]:
    report = await read_server_report(cluster.url)
    return [*judge_sharing(report, WorkerSettings.load(interval=interval))]


async def test_another_number_of_partitions_is_refused_by_worker_and_doctor(
    store: Redis, sharing: dict[str, str], start: Start
):
    await store.set(keys.PARTITIONS, 8)
    said = "the data is divided into 8 partitions for good, and TRACKER_PARTITIONS says 7: set it to 8, or leave it out"

    worker = start(**sharing | {"PARTITIONS": "7"})
    found = await check_redis(WorkerSettings.load(redis_url=sharing["REDIS_URL"], partitions=7))

    assert await worker.ended() == 1
    assert worker.said.splitlines()[-1] == said
    assert [(each.level, each.text) for each in found] == [(FindingLevel.PROBLEM, said)]
