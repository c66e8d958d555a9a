"""Starting policies of the pocket task: which there are, how they are trained, what they do."""

from meds_lab.tasks.checkpoints import checkpoint_path, load_pocket_model, model_location

__all__ = ["checkpoint_path", "load_pocket_model", "model_location"]
