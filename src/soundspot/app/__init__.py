"""The web page: ask a model with pictures, videos and sounds, search an index, read reports. Extra `app`."""
