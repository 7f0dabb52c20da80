"""What the configuration of somebody else's Redis costs is said; what may not be asked is a warning, no end."""

import pytest
from redis.asyncio import Redis

from v1.store import NoAccess, StoreError, config_check, connect


@pytest.fixture
async def redis(server: str):
    async with connect(server, "tests") as client:
        yield client
        await client.execute_command("ACL", "DELUSER", "limited")


def as_limited(server: str) -> str:
    return server.replace("unix://", "unix://limited:any@")


async def test_a_server_that_we_configured_lacks_nothing(server: str):
    assert await config_check.check_config(server) == []


@pytest.mark.parametrize("command, said", [("info", "its version"), ("config", "its configuration")])
async def test_what_a_user_may_not_ask_is_a_warning(redis: Redis, server: str, command: str, said: str):
    await redis.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "~*", "&*", "+@all", f"-{command}")

    lacks = await config_check.check_config(as_limited(server))

    assert [lack.partition(" cannot be read")[0] for lack in lacks] == [said]
    assert "no permissions" in lacks[0]


async def test_a_wrong_password_is_no_warning(redis: Redis, server: str):
    await redis.execute_command("ACL", "SETUSER", "limited", "on", ">right", "~*", "&*", "+@all")

    with pytest.raises(NoAccess):
        await config_check.check_config(as_limited(server))


async def test_who_may_do_nothing_is_told_so(redis: Redis, server: str):
    await redis.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "-@all")

    with pytest.raises(StoreError):
        await config_check.check_config(as_limited(server))
