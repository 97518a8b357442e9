"""The web page of a project: a tab for each step, for several annotators at once. Extra `app`."""
