"""A world refuses dynamics that share an array, read one that nobody has, or have a parameter that is no number."""

from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.simulation.dynamics import Patience, PreferenceDrift, ReturnTime, Satisfaction, TopicBoredom
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import population_sessions

WORLD = make_world("static", num_users=5, num_items=20)


@pytest.mark.parametrize("dynamics", [ReturnTime(), Patience()])
def test_a_dynamics_without_what_it_reads_is_named(dynamics):
    with pytest.raises(ValueError, match=f"{type(dynamics).__name__}.*reads 'satisfaction'"):
        population_sessions(replace(WORLD, dynamics=(dynamics,)), seed=0)
    sessions = population_sessions(replace(WORLD, dynamics=(Satisfaction(), dynamics)), seed=0)
    assert sessions.first_visit(np.arange(5)).shape == (5,)


def test_patience_that_ignores_satisfaction_stands_alone():
    population_sessions(replace(WORLD, dynamics=(Patience(satisfaction_weight=0.0),)), seed=0)


def test_two_owners_of_one_array_are_refused():
    with pytest.raises(ValueError, match="'drift_day' has PreferenceDrift"):
        population_sessions(replace(WORLD, dynamics=(PreferenceDrift(), PreferenceDrift(rate=0.5))), seed=0)


@pytest.mark.parametrize("weight", [np.nan, np.inf])
def test_a_parameter_that_is_no_number_is_named(weight):
    with pytest.raises(ValueError, match="weight of TopicBoredom must be a finite number, got"):
        replace(WORLD, dynamics=(TopicBoredom(weight=float(weight)),))
