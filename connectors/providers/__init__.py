"""Payment providers: the seam, its implementations, the simulator and the gateway."""
