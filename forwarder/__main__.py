"""``python -m forwarder`` is the command ``forwarder``."""

from forwarder.cli import main

main()
