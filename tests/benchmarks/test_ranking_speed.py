"""The speed figures of ranking are figures, at sizes where they take no time."""

import pytest

from benchmarks import ranking


@pytest.mark.parametrize("measure", [ranking.full_ranking, ranking.top_100])
def test_figures(measure):
    figure = measure(40, 300)
    assert figure["name"] == measure.__name__ and figure["unit"] == "s"
    assert figure["value"] >= 0 and "40 users, 300 items" in figure["work"]
