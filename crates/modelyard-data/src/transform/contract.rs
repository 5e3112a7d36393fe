//! The contract of every transform.
