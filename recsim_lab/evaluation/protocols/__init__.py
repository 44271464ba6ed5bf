"""Offline protocols: which requests, against which items, what counts, under which rules."""

from recsim_lab.evaluation.protocols.candidates import (
    Candidates,
    Choice,
    FromRetriever,
    Full,
    LoggedSlate,
    Sampled,
)
from recsim_lab.evaluation.protocols.protocol import Protocol, simple_protocols, usual_protocols
from recsim_lab.evaluation.protocols.splits import (
    Fold,
    LeaveLastOut,
    PopularityBalanced,
    RandomisedOnly,
    RandomSplit,
    RollingOrigin,
    Split,
    TemporalSplit,
)
from recsim_lab.evaluation.protocols.targets import (
    Click,
    Composite,
    Examined,
    Like,
    LongDwell,
    Return,
    Target,
    TrueChoice,
    Unselected,
)

__all__ = [
    "Candidates",
    "Choice",
    "Click",
    "Composite",
    "Examined",
    "Fold",
    "FromRetriever",
    "Full",
    "LeaveLastOut",
    "Like",
    "LoggedSlate",
    "LongDwell",
    "PopularityBalanced",
    "Protocol",
    "RandomSplit",
    "RandomisedOnly",
    "Return",
    "RollingOrigin",
    "Sampled",
    "Split",
    "Target",
    "TemporalSplit",
    "TrueChoice",
    "Unselected",
    "simple_protocols",
    "usual_protocols",
]
