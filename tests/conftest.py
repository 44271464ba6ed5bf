"""What tests measured is said at the end of the run, also where several processes ran them; and which go without checks
of shapes."""

import jaxtyping
import pytest


@pytest.fixture(autouse=True)
def _shapes(request):
    """All calls are checked against the shapes that they declare, but in tests that are marked `many_calls`."""
    if request.node.get_closest_marker("many_calls") is None:
        yield
        return
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [report for some in terminalreporter.stats.values() for report in some]
    for report in reports:
        if getattr(report, "when", None) == "call":
            for name, text in report.user_properties:
                if name == "measured":
                    terminalreporter.write_line(text)
