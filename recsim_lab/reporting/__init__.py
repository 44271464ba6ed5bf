"""A run's report: figures, tables and provenance in one HTML file that needs no network."""

from recsim_lab.reporting.blocks import Figure, KeyNumber, KeyNumbers, Section, Table
from recsim_lab.reporting.figures import (
    agreement_heatmap,
    agreement_ranking,
    engagement_over_days,
    offline_online_scatter,
)
from recsim_lab.reporting.report import Provenance, package_versions, write_figure, write_report

__all__ = [
    "Figure",
    "KeyNumber",
    "KeyNumbers",
    "Provenance",
    "Section",
    "Table",
    "agreement_heatmap",
    "agreement_ranking",
    "engagement_over_days",
    "offline_online_scatter",
    "package_versions",
    "write_figure",
    "write_report",
]
