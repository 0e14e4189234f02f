"""Recording every memory call of a program, unprivileged and at little cost."""
