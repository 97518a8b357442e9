"""The web page: ask a model with images, videos and sounds, search an index, read reports. Extra `app`."""
