"""Every version's examples, written down for ever: answers that must still be made, requests that must still be taken."""
