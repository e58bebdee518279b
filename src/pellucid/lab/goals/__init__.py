"""What is asked of an item, a module each: the loss, the answers in words, the table of predictions, the exported outputs.

A task names its goal, and whatever depends on it is looked up here: another goal is another module and a line below.
"""

from __future__ import annotations

from pellucid.lab.goals import classes, forecast, labels, next_token, number
from pellucid.lab.goals.goal import Goal, Table, last_step

__all__ = ["GOALS", "Goal", "Table", "last_step"]

GOALS: dict[str, Goal] = {
    "class": classes.GOAL,
    "number": number.GOAL,
    "labels": labels.WHOLE,
    "forecast": forecast.GOAL,
    "next": next_token.GOAL,
    "next labels": labels.NEXT,
}
