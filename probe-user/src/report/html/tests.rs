//! The page of hand-made connections: parts, bounds, and text that would like to be markup.
