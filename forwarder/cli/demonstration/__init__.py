"""What ``forwarder demo`` is made of: two processes, a story with a kill in it, and a judge who looks from outside."""
