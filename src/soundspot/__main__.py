"""`python -m soundspot` is `soundspot`."""

from soundspot.cli.main import main

raise SystemExit(main())
