"""AST in, rows out: static facts (`flow`), checks (`passes`), lowering (`lower`), graph and pictures.

Kept empty on purpose: importing `pgweave.compiler.rows` must pull in neither lark nor networkx.
"""
