"""What retrievers think of candidates, as numbers that the second stage reads beside the features of both sides."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int

from agents.examples import Crosses
from agents.two_stage.retriever import Retriever
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent, Observation

A = np.ndarray

_ROWS = 4096
"""Slates judged at a time."""


def opinions(
    retrievers: Sequence[Retriever], observation: Observation, items: Int[A, "rows candidates"]
) -> Float32[A, "rows candidates opinions"]:
    """Of each retriever its judgement, 0 where it has none, and 1 where it has none, else 0."""
    judged = np.stack([retriever.judge(observation, items) for retriever in retrievers], axis=2)
    missing = np.isnan(judged)
    return np.concatenate([np.where(missing, 0, judged), missing], axis=2).astype(np.float32)


def logged_opinions(retrievers: Sequence[Retriever], log: InteractionLog, rows: Int[A, " slates"]) -> Crosses:
    """What the retrievers, as they are, think of slates of the log, each as of its moment."""
    observation, slates = log.observations(rows), np.maximum(log.slate[rows], 0)
    values = np.empty((*slates.shape, 2 * len(retrievers)), np.float32)
    for start in range(0, len(rows), _ROWS):
        some = slice(start, start + _ROWS)
        values[some] = opinions(retrievers, observation.take(some), slates[some])
    return Crosses(rows, values)


def teach(retrievers: Sequence[Retriever], log: InteractionLog) -> None:
    """Teach what is inside; a policy that stands in several of them learns once."""
    for agent in {id(retriever.policy): retriever.policy for retriever in retrievers}.values():
        if isinstance(agent, Agent):
            agent.learn(log)


def newest(log: InteractionLog, share: float) -> tuple[InteractionLog, Int[A, " slates"]]:
    """What came before the newest share of the log's slates, and the rows of that share; equal ticks stay together."""
    if not len(log):
        return log, np.zeros(0, np.int64)
    ticks = np.sort(log.tick)
    late = log.tick >= ticks[min(len(log) - 1, int((1 - share) * len(log)))]
    return log.take(~late), np.flatnonzero(late)
