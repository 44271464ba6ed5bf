"""`python -m benchmarks.real_data`: the models on real data, beside the numbers that others published."""
