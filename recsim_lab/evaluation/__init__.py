"""Evaluation turns behaviour into numbers, offline and online, and says how far the numbers can be trusted."""
