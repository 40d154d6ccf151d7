"""The demonstration: realistic intents, a small upstream system that sends them, checks, and what a person sees."""
