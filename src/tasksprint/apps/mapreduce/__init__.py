"""The word count: map counts the words of ranges of files, reduce merges, top ranks.

Promises: the answer depends on the bytes of the files alone, not on how they are split, on how many
machines work, or on who died; a file that changed after it was listed fails the task that reads it.

`command` makes the arguments (the only place that lists folders, at the submitter), `plan` cuts files into
ranges (pure: it runs in the scheduler, whose copies must agree), `words` does the work, `scheduler` and `node`
are the two programs.
"""
