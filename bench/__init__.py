"""Measures Foyer: `make bench`, or `python -m bench --help`.

    options.py      the command line
    workloads/      what is measured, a file each
    lab.py          what a workload gets: its length, a fresh folder, servers
    processes.py    starting and stopping servers
    bare.py         the bare reference: one route, one INSERT
    population.py   accounts and rooms, made over REST
    rest.py         a lean HTTP client
    websocket.py    a lean WebSocket client
    audience.py     many listeners and what they hear
    chorus.py       many senders that wait for their answers
    deliveries.py   what was lost, doubled or out of order
    metering.py     CPU time and memory
    database.py     what Postgres counts
    texts.py        what people write
    figures.py      figures, targets, percentiles
    report.py       tables and JSON

The load generator is this program: a process of its own, but on the same machine as the server, so
it parses no more than it needs and its own CPU time is part of every report.
"""
