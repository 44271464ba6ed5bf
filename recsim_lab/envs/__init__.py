"""The world behind Gymnasium's interface."""
