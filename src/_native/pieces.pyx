"""The word count's hot loops (see tasksprint/native/pieces.py)."""
