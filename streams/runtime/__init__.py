"""What a process is made of: worker, api, demo."""
