"""The task `skills`: invented operators with one right rule each, which a starting policy rarely follows."""
