"""Other servers of time series, with the same samples, each on a port of its own and with its own settings."""

import gzip
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from bench.load import FetchedAnswer
from tests.support import edge
from tests.support.servers import free_port
from v1.model import Metric

START_SECONDS = 30.0
Points = Sequence[tuple[int, str]]


def is_installed(program: str) -> bool:
    return shutil.which(program, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") is not None


@contextmanager
def running_prometheus(folder: Path, name: str, points: Points) -> Iterator[str]:
    """Run Prometheus with one series; return the address of its samples."""
    lines = [f'price{{metric="{name}"}} {value} {at}' for at, value in points]
    text = "\n".join(["# TYPE price gauge", *lines, "# EOF", ""])
    (folder / "samples").write_text(text, encoding="ascii")
    (folder / "prometheus.yml").write_text("global: {}\n", encoding="ascii")
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "data"]
    subprocess.run(blocks, cwd=folder, capture_output=True, check=True)
    base = f"http://127.0.0.1:{free_port()}"
    where = ["--storage.tsdb.path=data", f"--web.listen-address={base.removeprefix('http://')}"]
    query = {"query": f'price{{metric="{name}"}}', "start": points[0][0], "end": points[-1][0], "step": 60}
    with _running(folder, f"{base}/-/ready", "prometheus", "--config.file=prometheus.yml", *where):
        yield f"{base}/api/v1/query_range?{urlencode(query)}"


@contextmanager
def running_victoria_metrics(folder: Path, series: Mapping[Metric, Points]) -> Iterator[str]:
    """Run VictoriaMetrics with some series; return the base of its addresses."""
    base = f"http://127.0.0.1:{free_port()}"
    where = ["-storageDataPath=data", f"-httpListenAddr={base.removeprefix('http://')}"]
    with _running(folder, f"{base}/health", "victoria-metrics", *where):
        _post(f"{base}/api/v1/import", "\n".join(_write_series(name, points) for name, points in series.items()))
        _post(f"{base}/internal/force_flush", "")
        yield base


def make_export_address(base: str, name: str, points: Points) -> str:
    """Return the address of the samples of one series in VictoriaMetrics."""
    query = {"match[]": f'price{{metric="{name}"}}', "start": points[0][0], "end": points[-1][0]}
    return f"{base}/api/v1/export?{urlencode(query)}"


def make_ranking_address(base: str, at: int) -> str:
    """Return the address of all series in VictoriaMetrics by how much they moved."""
    return f"{base}/api/v1/query?{urlencode({'query': 'sort_desc(stddev_over_time(price[24h]))', 'time': at})}"


@contextmanager
def running_nginx(folder: Path, upstream: str, bodies: Mapping[str, bytes]) -> Iterator[str]:
    """
    Run nginx in front of `host:port` as we ship it; return the base of its addresses.

    Beside that it sends files below `/file/`, as Debian configures it.
    """
    port = free_port()
    configuration = edge.write_configuration(folder, upstream, port)
    (folder / "file").mkdir()
    for name, body in bodies.items():
        (folder / "file" / name).write_bytes(body)
    place = "        location = /metrics {"
    files = f"        location /file/ {{ root {folder}; sendfile on; tcp_nopush on; open_file_cache off; }}\n"
    text = configuration.read_text(encoding="utf-8")
    if place not in text:
        raise RuntimeError(f"the files have no place in {edge.FILES / 'nginx.conf'}")
    configuration.write_text(text.replace(place, files + place), encoding="utf-8")
    # Started by root it would give its folders to a user who may not look into those of a measurement.
    options = "daemon off; user root;" if os.geteuid() == 0 else "daemon off;"
    base = f"http://127.0.0.1:{port}"
    with _running(
        folder, f"{base}/health/live", edge.find_nginx(), "-c", str(configuration), "-e", "stderr", "-g", options
    ):
        yield base


def check_answer(answer: FetchedAnswer, coding: str, count: int) -> None:
    """Raise `RuntimeError` where a peer has not sent so many values, in the coding that was asked for."""
    body = gzip.decompress(answer.body) if answer.coding == "gzip" else answer.body
    found = json.loads(body)
    if "data" in found:
        result = found["data"]["result"]
        values = result if found["data"]["resultType"] == "vector" else result[0]["values"]
    else:
        values = found["values"]
    if answer.coding != coding or len(values) != count:
        raise RuntimeError(f"a peer sent {len(values)} values of {count}, as {answer.coding} and not {coding}")


@contextmanager
def _running(folder: Path, address: str, *command: str) -> Iterator[None]:
    """Run a program until the end, which begins when an address of it is answered."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _wait_for(address, process)
        yield
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_answered(address):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} does not answer at {address}")
        time.sleep(0.05)


def _is_answered(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _post(address: str, text: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(address, text.encode(), method="POST"), timeout=60) as answer:
        answer.read()


def _write_series(name: str, points: Points) -> str:
    labels = {"__name__": "price", "metric": name}
    values, times = [float(value) for _, value in points], [at * 1000 for at, _ in points]
    return json.dumps({"metric": labels, "values": values, "timestamps": times})
