"""`foyer chat`: a client for the terminal, and an example of how to use `e2e.client`.

profile.py     who is logged in, and where keys are kept
terminal.py    printing, asking; nothing that others wrote reaches the terminal unfiltered
lines.py       happenings as lines of text
commands.py    what each command does
open_room.py   a room to read and write in
verifying.py   comparing short strings

The command line itself, with its options and help, is `homeserver/cli/chat.py`.
"""
