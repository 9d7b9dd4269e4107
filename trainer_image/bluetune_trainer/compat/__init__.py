"""The names of the reference document "How to Configure Fine-Tuning": a plugin written with them runs here.

`bluetune_trainer` exports them lazily. Whatever they stand for is done by the other layers; here are the signatures,
and `adapter.py`, which maps them onto the hooks of `bluetune_trainer.plugin.FineTuningMethod`.
"""
