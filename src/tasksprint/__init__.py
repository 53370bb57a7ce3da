"""TaskSprint: a general-purpose, fault-tolerant distributed computation system."""
