"""The benchmark of offline scoring runs on a small log."""

from benchmarks.protocols import logged, offline_scoring


def test_a_log_has_the_impressions_asked_for_and_its_moments():
    log, moments = logged(6_000, num_users=40, num_items=100)
    assert log.slate.size == 6_000
    moments.check(log)


def test_every_protocol_is_scored():
    measured = offline_scoring(6_000, "popularity", num_users=40, num_items=100)
    assert measured["value"] > 0 and measured["unit"] == "s" and "6,000 impressions" in measured["work"]
