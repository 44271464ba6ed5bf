"""How metrics, protocols and agents are called in front of people."""

import re
from collections.abc import Sequence

from recsim_lab.evaluation.agreement import LOWER_IS_BETTER_OFFLINE, LOWER_IS_BETTER_ONLINE

_ACRONYMS = frozenset({"auc", "dcg", "hr", "ips", "map", "mrr", "ndcg", "rmse", "snips"})
_COMPOUNDS = ("leave-last-out", "last-out", "no-rules", "off-policy")
"""Parts of a protocol's name that are several words."""
_UNITS = {
    "dwell_minutes": "dwell, minutes",
    "return_days": "days until return",
    "session_length": "session length, slates",
}


def metric_name(metric: str) -> str:
    """`ndcg@10` as `NDCG@10`, `clicks_per_slate` as `clicks per slate`."""
    if metric in _UNITS:
        return _UNITS[metric]
    stem, at, cutoff = metric.partition("@")
    words = [word.upper() if word in _ACRONYMS else word for word in stem.split("_")]
    return " ".join(words) + at + cutoff


def lower_is_better(metric: str) -> bool:
    """Whether a smaller value of this metric (its cut-off does not matter) is the better one."""
    return metric.partition("@")[0] in LOWER_IS_BETTER_OFFLINE | LOWER_IS_BETTER_ONLINE


def protocol_name(protocol: str) -> str:
    """`last-out-full-no-rules` as `last out, full, no rules`: how the log is split, what is ranked, then what differs
    from clicks under the rules of production."""
    for compound in _COMPOUNDS:
        protocol = protocol.replace(compound, compound.replace("-", " "))
    return ", ".join(part.replace("_", " ") for part in protocol.split("-"))


def column_name(column: str) -> str:
    """A column of a table of scores in words; other columns stay as they are."""
    if column.startswith("online/"):
        return metric_name(column.removeprefix("online/"))
    if column.startswith("offline/") and column.count("/") > 1:
        protocol, metric = split_offline_column(column)
        return f"{metric_name(metric)} · {protocol_name(protocol)}"
    return column


def split_offline_column(column: str) -> tuple[str, str]:
    """Protocol and metric of a column `offline/<protocol>/<metric>`; any other name raises ValueError."""
    prefix, _, rest = column.partition("/")
    protocol, _, metric = rest.rpartition("/")
    if prefix != "offline" or not protocol or not metric:
        raise ValueError(f"offline must name columns as offline/<protocol>/<metric>, got {column!r}")
    return protocol, metric


def short_world_names(worlds: Sequence[str]) -> dict[str, str]:
    """Worlds of a study by what sets them apart from its first: `everyday:num_users=200,drift=0` after
    `everyday:num_users=200` is `everyday (drift=0)`.

    A name whose short form another world shares stays as it is.
    """
    parsed = {world: world.partition(":")[::2] for world in dict.fromkeys(worlds)}
    first = next(iter(parsed.values()), ("", ""))[1].split(",")
    short = {}
    for world, (preset, text) in parsed.items():
        own = [parameter for parameter in text.split(",") if parameter and parameter not in first]
        short[world] = f"{preset} ({', '.join(own)})" if own else preset
    taken = list(short.values())
    return {world: name if taken.count(name) == 1 else world for world, name in short.items()}


def short_agent_names(agents: Sequence[str]) -> dict[str, str]:
    """Names for direct labels: `mf:dim=32,target=impressions` as `mf 32 impressions`, in brackets too.

    A name whose short form another agent shares stays as it is.
    """
    short = {agent: re.sub(r"[:,]([\w-]+=)?", " ", agent) for agent in agents}
    taken = list(short.values())
    return {agent: name if taken.count(name) == 1 else agent for agent, name in short.items()}
