"""Evaluate a model on data sets: scores and costs picture by picture, resumable, on one process or many machines."""

from .evaluate import Evaluation, Plan, evaluate, plan_evaluation
from .workplace import Workplace

__all__ = ["Evaluation", "Plan", "Workplace", "evaluate", "plan_evaluation"]
