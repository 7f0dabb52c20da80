"""What the measurement of long mixed load counts as wrong."""

from bench.soak import GRACE, Absence, Soak, TimedAnswer


def make_soak(*answers: TimedAnswer, others: tuple[TimedAnswer, ...] = ()) -> Soak:
    """Return a soak in which Redis was away from second 10 to second 12."""
    soak = Soak(1, 0)
    soak.answers += answers
    soak.others += others
    soak.absences.append(Absence(10, 12))
    return soak


def test_a_503_is_an_error_unless_redis_was_away_at_some_time_of_it():
    before, during = TimedAnswer(9, 0.5, 503), TimedAnswer(9.8, 0.5, 503)
    just_after, after = TimedAnswer(12 + GRACE, 0.1, 503), TimedAnswer(12.1 + GRACE, 0.1, 503)

    assert make_soak(before, during, just_after, after).count_errors() == 2


def test_any_other_error_of_the_server_counts_whoever_asked_and_whenever():
    during = TimedAnswer(11, 0.1, 500)

    assert make_soak(during, TimedAnswer(1, 0.1, 404), others=(during, TimedAnswer(1, 0.1, 431))).count_errors() == 2


def test_the_p99_is_that_of_the_time_with_redis():
    quick = [TimedAnswer(place / 100, 0.001, 200) for place in range(99)]

    assert make_soak(*quick, TimedAnswer(1, 0.5, 200), TimedAnswer(11, 9, 503)).compute_p99() == 0.001
    assert make_soak(*quick[:98], TimedAnswer(1, 0.5, 200), TimedAnswer(1, 0.5, 200)).compute_p99() == 0.5


def test_memory_is_compared_after_the_warm_up():
    soak = make_soak()
    soak.memory += [1] * 4 + [100] * 4 + [104] * 4 + [110] * 4

    assert soak.compute_growth() == 1.1
