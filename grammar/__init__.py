"""Text -> AST, and the way back. Data goes through the rooms in this order; each imports only those before it.

    reading    text -> tokens -> terminals of df.lark -> concrete tree
    meaning    concrete tree -> nodes
    parser.py  both together: `parse`
    writing    nodes -> text, and text -> the same program in canonical layout
    editing    edits of a text that tools make

    df.lark         the language: statements, operators with their levels, calls
    kinds.py        KINDS and CALLS, the tables of node kinds and df calls
    nodes.py        the AST; leaves.py: what every stage does with a leaf, from the tables
    span.py         offsets, spans, lines and columns
    template.py     placeholders in the text of a step; the worker uses it too
    diagnostics.py  findings; catalogue.py: CATALOGUE, all codes and their words; codes/ has a page for each
    render.py       findings -> text with carets, and -> JSON
    result_names.py what a result name looks like; durations.py: times in words; shortened.py: text cut to a length

This page is also the glossary. The words mean the same in every folder, and no others are used for these things.

The text
  source        a named text: a file, a notebook cell, standard input
  offset        a count of characters from 0; location: line and column, from 1
  span          a half-open range of a source: start inclusive, end exclusive
  anchor        a pair (offset in a string's value, offset in the source); leads from a value through quotes and escapes
                to the place where it is written
  token         what the lexer cuts: a word, a string, a number, an operator, a bracket
  terminal      a token with its role in df.lark; OPAQUE is PostgreSQL that is not looked into, BROKEN a reported error
  level         how tight an operator binds, as in PostgreSQL's grammar
  concrete tree the expression as it is written, parentheses included
  lexeme        a terminal with its text and its comments, for the formatter
  document      text with possible line breaks, from which the formatter makes lines

The meaning
  value         what an expression is before the program runs: known, a step, opaque, or broken
  fold          compute before the start what PostgreSQL would compute
  opaque        what only the database can evaluate; kept as its exact text
  AST, node     what a program means: steps and how they are composed; kind: a row of KINDS
  step          a node, as the person sees it who writes it
  Durofut       the JSON of a step, which the df functions pass to each other
  binding       the name that `|=>` gives to a step's result
  placeholder   `$name`, `$name.column`, `{variable}` in the text of a step
  definition    a workflow that a text defines: a root node with a label and options
  finding       something to tell the reader, with a code of the CATALOGUE; diagnostic: its object; fix: edits that solve it
  place         a node together with its path from the root, for tools that edit

The compiler
  pass          a function from a value to a value and findings; changes nothing that it was given
  graph, flow   the steps as a directed graph; what is known about its names, loops and branches
  check         a pass that only finds
  lower         make rows of nodes; row: one node as the database stores it; program: all rows of a workflow
  picture       DOT or SVG of a graph; outline: the same in lines of text

The runtime
  instance      one run of a workflow, with an id and a status; child: an instance that a step of another one started
  worker        a process that runs instances
  lease         the right of one worker to advance an instance until a time; a lease that has ended may be taken over
  advance       decide from what is known what to do next; activity: an effect on the world, such as a statement or a request
  attempt       one try of an activity; retry: another one, after a delay
  checkpoint    the stored result of a step; a step that has one never runs again in the same turn of its loop
  replay        advance again from the checkpoints, after a crash or a wait
  continue-as-new   start the next turn of a loop with an empty history
  signal        a named message to an instance; timer: a time at which it goes on; schedule: cron times for a timer
  ready, waiting    it can be advanced now; it waits for a signal, a timer, an activity or another instance
  throttled     a loop whose next turn may not begin before throttled_until, because its turns are too short
  deferred      a step or an instance that cannot be done now, for lack of something it needs: it goes back to the queue
                and is tried again later, up to a limit
  release       give a lease back; pending release: one that waits until the database can be reached again
  idle          a worker with nothing to do; settled: a run that has ended, or whose steps all wait for something
  migration     a numbered change of the df schema; install: run those that are missing

What people see
  snapshot      the state of an instance at one time; failure: why a step failed, in words and with a span
  canvas, block     the designer's drawing surface, and a step on it; gesture: what a person does there; request: its message

Verbs: read, parse, fold, bind, check, lower, print, format, edit, start, claim, advance, retry, defer, release, resume,
cancel, wait, signal, install, migrate.
"""
