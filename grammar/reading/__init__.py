"""Text -> tokens -> concrete tree: the lexer, the table of df.lark, strings, and programs inside other files."""
