"""What is known of a definition before it runs. Facts are computed when they are first asked for, and once.

reads             where a text reads `$name` and `{name}`
flow              the steps with stable ids; who binds and who reads a name, on which paths
sqltree           what the parsed tree of a statement says: columns, number of rows, functions, tables
sqltext           the SQL of a step as PostgreSQL's parser sees it; the only module that calls that parser
outcomes          what a step may result in, with its columns
waits             how long a step takes to wait, at least and at most, in seconds
written           rows of operands and operators as they were written, for the checks of grouping
definition_facts  all of it for one definition: what checks and editors use
"""
