"""AST in, rows out: facts about a program, checks, lowering, graph and pictures.

    facts/       what is known of a definition before it runs; every check reads it, nothing in it reports
    subject.py   what a check looks at: one definition, its facts, its source, its target
    checks/      one function per code: Subject -> findings
    passes.py    the checks in their order; suppress.py: findings that a comment allows; fixes.py: applying fixes
    project.py   checks over several files
    lower.py     AST -> rows.py (the contract with the runtime), or Durofut JSON; script.py: rows -> a SQL script
    graph.py     AST -> the networkx graph of control flow, blocks and data
    pictures/    the graph as DOT, SVG, Mermaid, outline and table
    compare.py   what differs between two programs
    assist.py    what an editor asks about a place; manual.py: what each call and operator means
    reports/     findings as text, JSON, SARIF, JUnit and GitHub annotations

Nothing is imported here: importing `pgweave.compiler.rows` must pull in neither lark nor networkx.
"""
