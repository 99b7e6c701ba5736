//! Runs warm pools and policies under virtual time.
