"""Where the records of a machine are kept.

protocol.py    what a store is: rows by kind and name
sealing.py     encrypts rows on their way to any store
sqlite.py      a file, for one device
postgres.py    a table, for many devices
"""
