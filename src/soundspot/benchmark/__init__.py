"""Interactive benchmarks built step by step: plan, images, selection, audio, masks, release.

A project is a folder: a journal of all decisions (`journal`), and the files of images and audio. Each step is a few
functions of a `project.Project`; the commands `soundspot benchmark ...` and the page (`page`) call them.
"""
