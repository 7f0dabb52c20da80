"""An outage is logged when it begins, when its reason changes, and when it is over."""

from structlog.testing import capture_logs

from worker.reporting.outage_log import OutageLog


def test_a_failure_is_logged_once_and_again_for_another_reason():
    outage = OutageLog(role="merging")
    with capture_logs() as lines:
        for reason in ("refused", "refused", "timed out", "refused"):
            outage.log_failure("Redis is away", reason)

    assert [line["reason"] for line in lines] == ["refused", "timed out", "refused"]
    assert {(line["event"], line["role"], line["log_level"]) for line in lines} == {
        ("Redis is away", "merging", "warning")
    }


def test_failures_of_one_kind_are_one():
    outage = OutageLog()
    with capture_logs() as lines:
        outage.log_failure("Redis is away", "try 1", kind="away")
        outage.log_failure("Redis is away", "try 2", kind="away")

    assert len(lines) == 1
    assert outage.is_ongoing


def test_the_end_is_logged_once_and_only_after_an_outage():
    outage = OutageLog()
    with capture_logs() as lines:
        outage.log_recovery("Redis is back")
        outage.log_failure("Redis is away", "refused")
        outage.log_recovery("Redis is back")
        outage.log_recovery("Redis is back")
        outage.log_failure("Redis is away", "refused")
        outage.log_recovery()

    assert [line["event"] for line in lines] == ["Redis is away", "Redis is back", "Redis is away"]
    assert not outage.is_ongoing
