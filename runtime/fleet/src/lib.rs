//! The fleet hook: a command or webhook that creates and destroys external workers.
