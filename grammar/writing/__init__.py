"""Nodes -> text, and text -> the same program in canonical layout.

quoting.py     a string -> the literal that writes it
printer.py     nodes -> text on one line: one spelling for every node
formatter.py   text -> laid-out text with its comments, and the proof that it means the same
lexemes.py     text -> terminals with their comments; comments.py: which comment belongs to which terminal
documents.py   lexemes -> a document: how each construct is laid out
layout.py      a document -> lines no wider than asked; knows nothing of the language
"""
