"""The whole daemon under simulated time, from a seed: worlds that try to lose an event, and an oracle that looks on."""
