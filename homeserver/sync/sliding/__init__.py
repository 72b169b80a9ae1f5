"""Simplified sliding sync (MSC4186): a window on the rooms of a user, by lists and subscriptions.

request.py      what a client asks for
room_config.py  what of a room it wants, and how wishes are combined
lists.py        which rooms a list shows
connection.py   what a connection has been told, which a position stands for
encryption.py   messages to devices, whose devices changed, how many keys are left
"""
