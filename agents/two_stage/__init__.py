"""Two-stage recommenders: retrievers that find candidates, and a heavy ranker that orders them."""

from agents.two_stage.by_embeddings import ByEmbeddings
from agents.two_stage.by_scores import ByScores
from agents.two_stage.listed import Fresh, Popular
from agents.two_stage.neighbours import Neighbours
from agents.two_stage.retriever import Retrieved, Retriever
from agents.two_stage.search import Approximate
from agents.two_stage.two_stage import FILL, Candidates, TwoStage

__all__ = [
    "FILL",
    "Approximate",
    "ByEmbeddings",
    "ByScores",
    "Candidates",
    "Fresh",
    "Neighbours",
    "Popular",
    "Retrieved",
    "Retriever",
    "TwoStage",
]
