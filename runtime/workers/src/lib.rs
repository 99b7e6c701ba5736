//! The worker protocol: what workers report about themselves, checked and turned into a state.
