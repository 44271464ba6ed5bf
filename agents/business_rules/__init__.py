"""Rules of the house around any policy: some forbid items, some re-order what the policy would show."""

from agents.business_rules.block_list import BlockList
from agents.business_rules.calibrated import Calibrated
from agents.business_rules.caps import Caps
from agents.business_rules.determinant import GreedyDPP
from agents.business_rules.forbidding import Forbidding
from agents.business_rules.freshness_quota import FreshnessQuota
from agents.business_rules.ignored_items import SkipIgnored
from agents.business_rules.marginal_relevance import MaximalMarginalRelevance
from agents.business_rules.minimum_quality import ClickRate, MinimumQuality
from agents.business_rules.re_ranking import ReRanked, ReRanking
from agents.business_rules.repeat_rules import RepeatRules

__all__ = [
    "BlockList",
    "Calibrated",
    "Caps",
    "ClickRate",
    "Forbidding",
    "FreshnessQuota",
    "GreedyDPP",
    "MaximalMarginalRelevance",
    "MinimumQuality",
    "ReRanked",
    "ReRanking",
    "RepeatRules",
    "SkipIgnored",
]
