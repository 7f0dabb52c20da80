"""What is remembered of commits: as long as no replica has it, within bounds, and never a part with a hole in it."""

from v1.store.commit_log import CommitLog

ONE, OTHER = [("EVALSHA", "1")], [("EVALSHA", "2")]


def make_log(*ticks: int, seconds: int = 600, words: int = 1000) -> CommitLog:
    log = CommitLog(seconds, words)
    for tick in ticks:
        log.add("p0", tick, [("EVALSHA", str(tick))])
        log.note_committed("p0", tick)
    return log


def list_ticks(log: CommitLog, tick: int | None) -> list[str] | None:
    found = log.find_forgotten("p0", tick)
    return None if found is None else [commands[0][1] for commands in found]


def test_a_part_that_is_as_far_as_was_acknowledged_is_not_behind():
    log = make_log(60, 120)

    assert log.list_behind({"p0": 120, "p1": None}) == []
    assert log.list_behind({"p0": 180}) == []


def test_what_came_after_the_tick_of_a_part_was_forgotten_oldest_first():
    log = make_log(60, 120, 180)

    assert log.list_behind({"p0": 60}) == ["p0"]
    assert list_ticks(log, 60) == ["120", "180"]
    assert list_ticks(log, None) == ["60", "120", "180"]


def test_what_was_sent_and_not_acknowledged_makes_no_part_look_behind():
    log = make_log(60)
    log.add("p0", 120, ONE)

    assert log.list_behind({"p0": 60}) == []
    assert log.find_expected("p0") == 60


def test_what_a_replica_has_is_forgotten_and_what_is_older_cannot_be_restored():
    log = make_log(60, 120, 180)
    log.note_replicated("p0", 120)

    assert list_ticks(log, 120) == ["180"]
    assert list_ticks(log, 60) is None


def test_what_is_older_than_the_bound_is_forgotten_and_the_newest_never_is():
    log = make_log(60, 120, 1000, seconds=600)

    assert list_ticks(log, 120) == ["1000"]
    assert list_ticks(log, 60) is None


def test_beyond_so_many_words_the_oldest_of_all_parts_goes_first():
    log = CommitLog(most_words=8)
    for tick in (60, 120, 180):
        for tag in ("p0", "p1"):
            log.add(tag, tick, ONE)

    assert [len(log.find_forgotten(tag, 60) or []) for tag in ("p0", "p1")] == [2, 2]
    log.add("p0", 240, [("EVALSHA", *map(str, range(20)))])
    assert log.find_forgotten("p0", 180) == [[("EVALSHA", *map(str, range(20)))]]


def test_a_part_that_was_found_with_a_tick_cannot_be_restored_from_before_it():
    log = CommitLog()
    log.note_found("p0", 60)
    log.add("p0", 120, ONE)
    log.note_committed("p0", 120)

    assert log.find_forgotten("p0", 60) == [ONE]
    assert log.find_forgotten("p0", None) is None


def test_a_part_that_is_forgotten_goes_on_from_the_tick_that_it_has():
    log = make_log(60, 120)
    log.forget("p0", 60)
    log.add("p0", 180, OTHER)

    assert log.find_expected("p0") == 60
    assert log.find_forgotten("p0", 60) == [OTHER]
