"""Workflows as pictures: what is drawn (`picture`), where it goes (`layout`), and the SVG text (`svg`). All pure."""
