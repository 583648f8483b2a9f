"""The graph as a picture or as text: DOT, SVG, Mermaid, outlines, tables."""
