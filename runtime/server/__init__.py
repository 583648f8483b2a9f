"""The embedded PostgreSQL: its programs, its data directory, its start and its stop.

    embedded      what others call: start, find, status, temporary
    provision     the programs, the directory and the account that a server needs
    postmaster    PostgreSQL's own programs on one data directory
    server_users  which processes use a server; the last one stops it

Each imports only modules below it in this list.
"""
