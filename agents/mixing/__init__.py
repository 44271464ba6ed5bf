"""Items of several policies in one slate, or one of several policies for a slate; and who learns from whose slots."""

from agents.mixing.bandit import Bandit
from agents.mixing.base import Mix
from agents.mixing.by_slot import BySlot
from agents.mixing.by_user import ByUser
from agents.mixing.credit import Credit, credit
from agents.mixing.quota import Quota
from agents.mixing.team_draft import TeamDraft
from agents.mixing.training_data import TrainedOn

__all__ = ["Bandit", "BySlot", "ByUser", "Credit", "Mix", "Quota", "TeamDraft", "TrainedOn", "credit"]
