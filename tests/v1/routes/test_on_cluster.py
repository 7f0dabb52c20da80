"""The API answers on a cluster what it answers on one node, on every route, byte by byte."""

from pathlib import Path

import pytest

from tests.support.cluster import RunningCluster
from tests.support.serving import Api, Clock
from tests.v1.routes.test_examples import answers, crash, written
from v1.routes.openapi import EXAMPLES

__all__ = ["crash"]


@pytest.fixture
async def server(cluster: RunningCluster) -> str:
    """The address of a cluster, in place of that of one node."""
    return cluster.url


@pytest.mark.usefixtures("crash")
async def test_every_route_answers_the_examples_that_one_node_answered(api: Api, clock: Clock, tmp_path: Path):
    assert written(await answers(api, clock, tmp_path)) == EXAMPLES.read_text()
