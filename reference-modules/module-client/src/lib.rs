//! What a module needs to reach its edgeHub, and nothing more.
