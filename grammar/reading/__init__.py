"""Text -> tokens -> terminals -> concrete tree: everything that can be told without knowing what an expression means.

From the text to the tree
  strings.py      where quoted text ends, what its escapes mean, anchors (imports nothing; the worker uses it too)
  lexer.py        text -> tokens, as PostgreSQL cuts it
  brackets.py     which bracket closes which; looking at tokens by index
  type_names.py   `timestamp(3) with time zone` as one name
  terminals.py    tokens -> terminals of df.lark
  lalr.py         df.lark -> Lark's parser, and the vocabulary: operators, their levels, names of calls
  parse_table.py  what Lark makes of df.lark (generated)
  syntax.py       the concrete tree, and how a row of operands and operators becomes one
  expected.py     the words of a syntax error

Texts that hold programs among other things
  extraction.py   the df calls in SQL and in function bodies
  markdown.py     the fenced blocks of Markdown

Tables
  keywords.py     words of PostgreSQL
  highlight.py    the token table for colours in editors
"""
