"""Verification of devices and users.

flow.py        one verification, as a value that is kept
emoji.py sas.py qr.py    what is compared: pure computations
dialects.py    how other libraries write it
messages.py    reading and writing the messages
framework.py   requests, readiness, cancelling; finds the flow that a message belongs to
sas_steps.py   the steps of `m.sas.v1`
qr_steps.py    the steps of `m.reciprocate.v1`
outcome.py     what follows from a verification that succeeded
"""
