"""The graph as a picture or as text.

step_words   a step in words: a verb and the detail that tells it from others
palette      colours, light and dark
folding      a large graph made smaller: deep blocks and long chains become one box
picture      graph -> DOT; draw: DOT -> SVG, PNG, PDF; comparison: two programs in one picture
mermaid      graph -> Mermaid
outline      AST -> an indented outline; table: rows -> an aligned table
"""
