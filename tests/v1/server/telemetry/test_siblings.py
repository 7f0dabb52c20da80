"""Several processes at one port: each has a number, and whichever is asked answers for all."""

import asyncio
import os
import signal
import sys

import pytest

from tests.support.exposition import read_samples, read_value
from v1.server.telemetry import ApiSiblings, ApiTelemetry
from v1.server.telemetry.exposition import SIBLINGS_UP, merge_texts, write_registry

LIMITED = "data_tracker_api_limited_requests_total"


def write(telemetry: ApiTelemetry, siblings: ApiSiblings) -> str:
    return write_registry(telemetry.registry, siblings.number)


def telemetry_with(hits: int) -> ApiTelemetry:
    made = ApiTelemetry.make(list, "", "/latest", "/v1")
    made.instruments.limited["points"].inc(hits)
    return made


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "siblings"


async def test_whichever_is_asked_answers_for_all(folder):
    processes = [(telemetry_with(hits), ApiSiblings(folder)) for hits in (3, 5)]
    (one, first), (other, second) = processes

    async with first.open(lambda: write(one, first)), second.open(lambda: write(other, second)):
        texts = [await siblings.collect(write(telemetry, siblings)) for telemetry, siblings in processes]

    assert (first.number, second.number) == (0, 1)
    for text in texts:
        assert read_value(text, LIMITED, limit="points", process="0") == 3
        assert read_value(text, LIMITED, limit="points", process="1") == 5
        assert read_samples(text)[SIBLINGS_UP] == {frozenset({("process", str(n))}): 1.0 for n in (0, 1)}


async def test_the_next_process_takes_the_number_of_one_that_has_ended(folder):
    first, second, third = (ApiSiblings(folder) for _ in range(3))

    async with second.open(str):
        pass
    async with first.open(str), third.open(str):
        assert (first.number, third.number) == (0, 1)


async def test_nothing_is_left_behind_when_all_have_ended(folder):
    first, second = ApiSiblings(folder), ApiSiblings(folder)

    async with first.open(str), second.open(str):
        assert folder.is_dir()

    assert not folder.exists()


async def test_one_that_has_ended_is_not_asked_and_not_said_to_be_down(folder):
    first, second = ApiSiblings(folder), ApiSiblings(folder)

    async with first.open(str):
        async with second.open(str):
            pass
        text = await first.collect("")

    assert list(read_samples(text)[SIBLINGS_UP]) == [frozenset({("process", "0")})]


async def test_one_that_was_killed_leaves_its_number_to_the_next(folder):
    program = (
        "import asyncio, pathlib, sys\n"
        "from v1.server.telemetry import ApiSiblings\n"
        "async def main():\n"
        "    async with ApiSiblings(pathlib.Path(sys.argv[1])).open(str):\n"
        "        print('open', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(folder), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"open\n"
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    following = ApiSiblings(folder)
    async with following.open(lambda: "# nothing\n"):
        assert following.number == 0


async def test_one_that_does_not_answer_is_left_out_and_said_to_be_down(folder, monkeypatch):
    monkeypatch.setattr("v1.server.telemetry.siblings.ANSWER_SECONDS", 0.05)
    one, first, second = telemetry_with(3), ApiSiblings(folder), ApiSiblings(folder)

    async with first.open(lambda: write(one, first)), second.open(str):
        (folder / "1.sock").unlink()
        silent: list[asyncio.StreamWriter] = []
        server = await asyncio.start_unix_server(lambda _, writer: silent.append(writer), folder / "1.sock")
        text = await first.collect(write(one, first))
        server.close()
        for writer in silent:
            writer.close()
            await writer.wait_closed()

    assert read_value(text, LIMITED, limit="points") == 3
    assert read_value(text, SIBLINGS_UP, process="1") == 0


async def test_a_folder_of_somebody_else_is_not_used(folder):
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    one, siblings = telemetry_with(3), ApiSiblings(folder)

    async with siblings.open(lambda: write(one, siblings)):
        text = await siblings.collect(write(one, siblings))

    assert read_value(text, LIMITED, limit="points") == 3
    assert list(folder.iterdir()) == []


def test_a_merged_text_has_every_head_once():
    texts = [write_registry(telemetry_with(hits).registry, hits) for hits in (1, 2)]

    merged = merge_texts(texts)

    heads = [line for line in merged.splitlines() if line.startswith("#")]
    assert len(heads) == len(set(heads))
    assert sum(map(len, read_samples(merged).values())) == sum(
        len(samples) for text in texts for samples in read_samples(text).values()
    )
