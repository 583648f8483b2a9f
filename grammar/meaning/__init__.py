"""Concrete tree -> values -> nodes: what a program means, and what is wrong with that.

elaborate.py       the walk: every expression of the tree gets a value, bottom up; statements become definitions
static_values.py   the kinds of values
fold.py            operators, casts and functions on known values, with PostgreSQL's results
steps.py           a value in the place of a step
call_arguments.py  which argument of a df call is for which parameter, and its value in the parameter's type
calls.py           the node that a df call makes of its arguments
durofut.py         Durofut JSON -> nodes
jsonb.py           JSON with spans, and back to text as jsonb writes it
cron_rules.py      which cron expressions df.wait_for_schedule accepts
finding_report.py  where findings are collected
"""
