"""The commands about keys: a key is printed once, listed without its secret, and revoked by its id."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from v1.store import DataFormat, KeyScope, connect, keys
from worker.cli.api_keys import parse_end
from worker.cli.commands import app
from worker.latest.store import ApiKeyStore

NOW = 1_621_252_800


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the checkout count."""
    monkeypatch.chdir(tmp_path)


def run(server: str, *words: str, **settings: str) -> Result:
    named = {f"TRACKER_{name}": each for name, each in settings.items()}
    return CliRunner().invoke(app, ["keys", *words], env={"TRACKER_REDIS_URL": server} | named)


def test_a_key_is_printed_once_and_listed_without_its_secret(server):
    made = run(server, "make", "Grafana in the hall", "--until", "2199-01-01")
    key = made.stdout.strip()
    listed = run(server, "list")

    assert (made.exit_code, listed.exit_code) == (0, 0)
    assert re.fullmatch("dt_[0-9a-f]{8}_[0-9a-f]{32}", key)
    assert f"its id is {key[3:11]}, its scope read, and it holds until 2199-01-01T00:00:00Z" in made.stderr
    assert re.search(
        f"^{key[3:11]}  read +.+Z  never +2199-01-01T00:00:00Z  Grafana in the hall$", listed.stdout, re.MULTILINE
    )
    assert key[12:] not in listed.output


def test_who_makes_a_key_that_nobody_asks_for_is_told(server):
    told = "set TRACKER_KEYS_REQUIRED=yes"

    assert told in run(server, "make", "a").stderr
    assert told not in run(server, "make", "a", KEYS_REQUIRED="yes").stderr
    assert told not in run(server, "make", "a", API_KEYS="one-of-16-or-more").stderr


@pytest.mark.parametrize("how", ["id", "key"])
def test_a_key_is_revoked_by_its_id_or_by_itself(server, how):
    key = run(server, "make", "a", "--scope", "rules").stdout.strip()

    revoked = run(server, "revoke", key[3:11] if how == "id" else key)
    again = run(server, "revoke", key[3:11])

    assert (revoked.exit_code, revoked.stdout) == (0, f"revoked {key[3:11]}\n")
    assert (again.exit_code, again.stderr) == (
        1,
        f"there is no key {key[3:11]}; the command `list` shows those there are\n",
    )
    assert "there are no keys" in run(server, "list").stdout


@pytest.mark.parametrize(
    "words, code, told",
    [
        (["make", ""], 2, "NAME: '' is not accepted"),
        (["make", "a\nb"], 2, "1 to 64 printable characters"),
        (["make", "x" * 65], 2, "1 to 64 printable characters"),
        (["make", "a", "--scope", "all"], 2, "'all' is not one of"),
        (["make", "a", "--until", "soon"], 2, "--until: 'soon' is not a time"),
        (["make", "a", "--until", "2001-01-01"], 2, "--until: '2001-01-01' is not after now"),
        (["revoke", "secret-of-another"], 2, "ID: what is given is no id of a key"),
    ],
)
def test_what_is_not_accepted_is_told_and_nothing_is_made(server, words, code, told):
    tried = run(server, *words)

    assert tried.exit_code == code
    assert told in " ".join(tried.stderr.replace("│", " ").split())
    assert "secret-of-another" not in tried.output
    assert "there are no keys" in run(server, "list").stdout


def test_an_absent_redis_is_told_in_a_line(tmp_path):
    tried = run(f"unix://{tmp_path}/nobody.sock", "list")

    assert tried.exit_code == 1
    assert tried.stderr.startswith("Redis is away: ")


def test_where_there_is_no_database_of_ours_that_is_told(tmp_path):
    tried = CliRunner().invoke(app, ["keys", "list"], env={"TRACKER_DATA_DIR": str(tmp_path)})

    assert (tried.exit_code, tried.stderr.partition(" in ")[0]) == (1, "there is no database")


@pytest.mark.parametrize(
    "text, end",
    [("+12h", NOW + 43_200), ("+90d", NOW + 90 * 86_400), (str(NOW + 1), NOW + 1), ("2199-01-01", 7226582400)],
)
def test_an_end_is_an_instant_or_a_time_from_now(text, end):
    assert parse_end(text, NOW) == end


async def test_resetting_the_data_keeps_the_keys(server):
    async with connect(server, "tests") as redis:
        _, key = await ApiKeyStore(redis).add_key("a", KeyScope.READ, NOW, None)
        await ApiKeyStore(redis).note_uses({key.id: NOW})
        await redis.set(keys.TICK, 60)
        await DataFormat(redis).delete_data()

        assert await ApiKeyStore(redis).read_keys() == {key.id: key}
        assert await ApiKeyStore(redis).read_uses() == {key.id: NOW}
