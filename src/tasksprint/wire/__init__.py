"""Bytes and values: everything that is said on a link or a pipe, typed and bounded.  Pure.

`frames` cuts a link's stream into payloads, `handshake` is the challenge that begins every link, `messages` are the
typed messages between our own processes, `results` what they carry; `lines`, `node_talk` and `scheduler_talk` are the
two JSON conversations as state tables.

Promises: what does not fit its type or its limit is refused with what was wrong and where; nothing here waits, opens
or evaluates anything.
"""
