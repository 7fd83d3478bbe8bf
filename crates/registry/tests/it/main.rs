//! Our tokens against a real registry.

mod tokens;
