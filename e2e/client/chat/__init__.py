"""`foyer chat`: a client for the terminal, and an example of how to use `e2e.client`.

profile.py     who is logged in, and where keys are kept
terminal.py    printing, asking; nothing that others wrote reaches the terminal unfiltered
prompts.py     asking a person
lines.py       happenings as lines of text
commands.py    what each command does
open_room.py   a room to read and write in
verifying.py   comparing short strings, showing and scanning QR codes
qr_codes.py    drawing and reading them

command_line.py    the command line: arguments and help
__main__.py    the same without the server's commands: python -m e2e.client.chat
"""
