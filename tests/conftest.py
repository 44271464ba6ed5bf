"""What tests measured is said at the end of the run, also where several processes ran them."""


def pytest_terminal_summary(terminalreporter) -> None:
    reports = [report for some in terminalreporter.stats.values() for report in some]
    for report in reports:
        if getattr(report, "when", None) == "call":
            for name, text in report.user_properties:
                if name == "measured":
                    terminalreporter.write_line(text)
