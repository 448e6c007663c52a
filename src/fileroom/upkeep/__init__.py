"""What is done to a data directory beside its server: compared, or, without one, made anew."""

from fileroom.upkeep.checking import check_data
from fileroom.upkeep.collecting import collect_garbage
from fileroom.upkeep.rebuilding import NOT_RESTORED, RebuiltStore, rebuild_index

__all__ = ["NOT_RESTORED", "RebuiltStore", "check_data", "collect_garbage", "rebuild_index"]
