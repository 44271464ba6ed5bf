"""Recommenders that learn from logs; they see the lab's seam only, never the hidden truth."""
