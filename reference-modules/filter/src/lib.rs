//! A module that passes on what exceeds a threshold.
