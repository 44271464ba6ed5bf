"""What a platform logs of a policy made of policies is what the policy says of the same slates at the same requests."""

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from agents.registry import make_agent
from recsim_lab.platform import Platform
from recsim_lab.simulation.presets import make_world

SPECS = {
    "exploration over two stages": "two-stage(20 popularity; 9 neighbours; 5 fresh; ease):epsilon=0.3",
    "random slates over two stages": "two-stage(20 popularity; 9 neighbours; ease):epsilon=0.3,per=slate",
    "random slots beside two stages": "by-slot(two-stage(20 popularity; ease); random at -1)",
    "a team draft": "team-draft(ease; two-stage(20 popularity; item-knn))",
    "a bandit over exploration": "bandit(ease:epsilon=0.2; popularity)",
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_is_logged_is_how_likely_it_was(spec):
    world, policy = make_world("static", num_users=40, num_items=60), RepeatRules(make_agent(spec), days=7)
    policy.learn(Platform(world, make_agent("random"), seed=0).run(2))
    log = Platform(world, policy, seed=1, history=128).run(3)
    told = policy.probabilities(log.observations(), log.slate)
    assert len(log) > 100 and told.exact.all() and (log.propensity_error == 0).all()
    np.testing.assert_allclose(log.propensity, told.marginal, rtol=1e-5)
    np.testing.assert_allclose(log.prefix_propensity, told.prefix, rtol=1e-5)
    assert ((log.propensity > 0) & (log.propensity < 1)).any()
    # All that chose is named, in sources that the policy has.
    assert set(np.unique(log.source)) <= set(range(len(log.sources)))
    assert len(np.unique(log.source)) > 1
