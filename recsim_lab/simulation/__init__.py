"""The hidden truth: items, users, how they choose and why they change, as functions of arrays."""
