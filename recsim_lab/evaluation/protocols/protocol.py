"""A protocol is one way to score a policy offline: split x candidates x target x rules, small parts that combine."""

from dataclasses import dataclass

from recsim_lab.evaluation.protocols.candidates import Candidates, FromRetriever, Full, LoggedSlate, Sampled
from recsim_lab.evaluation.protocols.splits import (
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


@dataclass(frozen=True)
class Protocol:
    """Which requests (`split`), against which items (`candidates`), what counts (`target`), and whether the business
    rules of production bind the candidates and the order (`rules`)."""

    split: Split
    candidates: Candidates = Full()
    target: Target = Click()
    rules: bool = True

    @property
    def name(self) -> str:
        """Such as `temporal-full`, `random-sampled100-dwell` or `last-out-full-no-rules`."""
        words = [self.split.name, self.candidates.name]
        words += [] if self.target == Click() else [self.target.name]
        words += [] if self.rules else ["no-rules"]
        return "-".join(words)

    @property
    def knows_truth(self) -> bool:
        """Whether it reads what no real platform can."""
        return isinstance(self.target, TrueChoice)

    @property
    def prefix(self) -> str:
        """What the columns of its metrics begin with: `truth/...` is no offline number that anyone could have."""
        return f"{'truth' if self.knows_truth else 'offline'}/{self.name}"

    @property
    def said(self) -> str:
        """The protocol in words."""
        rules = ", under the rules of production" if self.rules else ", without the rules of production"
        # What was shown was shown under the rules; nothing is left for them to forbid.
        rules = "" if isinstance(self.candidates, LoggedSlate) else rules
        return f"{self.split.said}; {self.target.said}, against {self.candidates.said}{rules}"


def usual_protocols(test_days: int, num_sampled: int = 100) -> tuple[Protocol, ...]:
    """What is in common use, and what `attribution` needs: every split; candidates and rules under three of them;
    targets under the temporal one, returns within a week only where the test days are more; clicks corrected for where
    they stood and for what was shown; and the truth in the place of the log's labels."""
    temporal, last, mixed = TemporalSplit(test_days), LeaveLastOut(), RandomSplit()
    uniform, popular = Sampled(num_sampled), Sampled(num_sampled, power=1.0)
    others = (RollingOrigin(test_days), PopularityBalanced(), RandomisedOnly(test_days))
    varied = [
        Protocol(split, candidates, target, rules)
        for split in (temporal, last, mixed)
        for candidates in (Full(), uniform, popular)
        for target in (Click(), TrueChoice())
        for rules in (True, False)
    ]
    beside = [Protocol(split) for split in others]
    beside += [Protocol(temporal, candidates) for candidates in (LoggedSlate(), FromRetriever(num_sampled))]
    targets: tuple[Target, ...] = (LongDwell(), Like(), Composite())
    if test_days > Return().days:
        targets = (*targets, Return())
    beside += [Protocol(temporal, candidates, target) for target in targets for candidates in (Full(), LoggedSlate())]
    beside += [Protocol(temporal, target=target) for target in (Examined(), Unselected())]
    return (*varied, *beside)


def simple_protocols(test_days: int, num_sampled: int = 100) -> tuple[Protocol, ...]:
    """The temporal split alone: what is scored is what is deployed, and one training is enough."""
    temporal = TemporalSplit(test_days)
    return Protocol(temporal), Protocol(temporal, Sampled(num_sampled)), Protocol(temporal, LoggedSlate())
