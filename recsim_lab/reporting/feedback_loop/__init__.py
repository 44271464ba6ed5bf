"""The report of a feedback loop, a file for each part of it."""

from recsim_lab.reporting.feedback_loop.report import write_feedback_loop_report

__all__ = ["write_feedback_loop_report"]
