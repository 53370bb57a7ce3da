"""`python -m tasksprint` is the `tasksprint` program."""

from tasksprint.cli import main

main()
