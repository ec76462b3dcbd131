"""What classes are called: tables of names, prompts, captions."""
