"""YOURS: the agent, its instructions, tools and settings. Template updates leave this folder alone."""
