//! A module that passes on what it receives.
