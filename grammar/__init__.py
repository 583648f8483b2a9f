"""Text -> AST. This page is the glossary; the words mean the same in every folder.

The text and its places
  source       a named text: a file, a notebook cell, standard input (span.py)
  span         a stretch of a source, in characters; location: line and column, from 1
  token        what the lexer cuts: a word, a string, a number, an operator (lexer.py)
  terminal     a token with its role in df.lark; an opaque one is PostgreSQL we do not look into (terminals.py)
  anchor       where a character of a string's value stands in the source, through quotes and escapes
  tree         the expression as written; value: what it is worth before the program runs (syntax.py, values.py)
  fold         compute at compile time what PostgreSQL would compute before the start (fold.py)
  AST, node    what a program means: steps and how they hang together (nodes.py); kind: a row of KINDS (kinds.py)
  step         a node, seen by the person who writes it; future, Durofut: its JSON, seen by PostgreSQL (durofut.py)
  binding      the name that `|=>` gives to a step's result
  placeholder  `$name`, `$name.col`, `{name}` inside a step's text (template.py)
  opaque       what only the database can evaluate; kept as its exact text
  finding      a diagnostic: a code of the CATALOGUE, a span, words, perhaps a fix (diagnostics.py, render.py)

What the other folders add
  pass, graph, flow, lowering, row                         compiler: AST -> graph -> rows
  instance, activity, lease, attempt, checkpoint, signal,
  timer, envelope, continue-as-new                         runtime: rows -> results
"""
