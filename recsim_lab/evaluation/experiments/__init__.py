"""Online experiments: A/B tests, with covariates and under continuous looks, interleaving, and what each can see."""
