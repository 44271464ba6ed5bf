"""Figures of a study: data frames in, a `Figure` of the report out."""

from recsim_lab.reporting.figures.days import engagement_over_days
from recsim_lab.reporting.figures.heatmap import agreement_heatmap, worlds_heatmap
from recsim_lab.reporting.figures.ranking import agreement_ranking
from recsim_lab.reporting.figures.scatter import offline_online_scatter
from recsim_lab.reporting.figures.waterfall import attribution_waterfall

__all__ = [
    "agreement_heatmap",
    "agreement_ranking",
    "attribution_waterfall",
    "engagement_over_days",
    "offline_online_scatter",
    "worlds_heatmap",
]
